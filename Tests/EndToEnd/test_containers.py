"""Functions as containers of images: built, tried, deployed and run by the real programs on a real engine."""
import hashlib
import io
import json
import os
import pathlib
import re
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
from contextlib import closing

import pytest

from conftest import skipping
from support.client import refused
from support.docker import LOGIN, PASSWORD, Docker, architecture, logged_in
from support.gateway import BIN, dcf
from support.nvml import StandIn
from support.waiting import wait_until

LABEL = "io.dcf.gateway"

ECHO = "def Handler(req):\n    return req.input\n"

BROKEN = "class Handler:\n    def __init__(self):\n        {}['no']\n    def __call__(self, req):\n        return 1\n"

#: Says where it runs.
WHERE = '''
import json, os

class Handler:
    def __init__(self, parameters):
        self.parameters = parameters

    def __call__(self, req):
        def can_write(path):
            try:
                open(path, "w").close()
                return True
            except OSError:
                return False
        status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
        secrets = sorted(os.listdir("/run/secrets")) if os.path.isdir("/run/secrets") else []
        return json.dumps({
            "uid": os.getuid(), "root": can_write("/dcf/handler/x"), "tmp": can_write("/tmp/x"),
            "capabilities": int(status["CapEff"], 16) | int(status["CapPrm"], 16) | int(status["CapBnd"], 16),
            "no_new_privileges": status["NoNewPrivs"].strip(), "environment": dict(os.environ),
            "secrets": {name: open("/run/secrets/" + name).read() for name in secrets},
            "parameters": self.parameters, "health": os.path.exists("/tmp/.lock"),
        })
'''


@pytest.fixture(scope="module")
def images(docker):
    """The engine with all that a build needs."""
    skipping(docker.debian)
    docker.watcher()
    return docker


@pytest.fixture(scope="module")
def nvml(scratch):
    return StandIn(scratch / "nvml-containers")


@pytest.fixture
def host(images, own_gateway):
    """A gateway whose functions are images; all its containers are gone afterwards."""
    made = []

    def make(*flags, environment=None, **options):
        gateway = own_gateway("--engine", "docker", *flags,
                              environment={**images.environment, **(environment or {})}, **options)
        made.append(gateway)
        return gateway

    yield make
    for gateway in made:
        gateway.end()
    assert containers(images) == [], "containers are left behind"


def containers(docker, *flags):
    return docker("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={LABEL}", *flags).stdout.split()


def create(gateway, docker, name, handler=ECHO, *flags, files=None, check=True, command="create", **config):
    path = gateway.write(name, None, {"handler.py": handler, "Dockerfile": Docker.FUNCTION, **(files or {})},
                         {"image": f"test/{name}", **config})
    done = gateway.dcf("function", command, "-f", str(path), *flags, check=check, environment=docker.environment)
    done.path = path
    return done


def test_an_image_is_built_deployed_and_called(host, images):
    gateway = host()
    done = create(gateway, images, "echo")
    assert "Step " in done.error and done.error.rstrip().endswith("echo: Ready"), done.error
    data = os.urandom(1 << 20)
    assert gateway.client.invoke_bytes("echo", data) == data
    function = gateway.client.meta("echo")
    assert function.Image == "test/echo" and function.ImageID == images.inspect("test/echo")["Id"]
    (container,) = containers(images)
    labels = images.inspect(container)["Config"]["Labels"]
    assert labels["io.dcf.function"] == "echo" and labels["io.dcf.replica"] == "1"
    assert function.Instances[0].Pid == images.inspect(container)["State"]["Pid"]
    gateway.delete("echo")
    wait_until(lambda: containers(images) == [], 10, "the container gone")


def test_a_container_can_do_nothing_but_its_work(host, images):
    gateway = host()
    create(gateway, images, "where", WHERE, parameters={"a": 1}, environment=["B=2"])
    seen = json.loads(gateway.client.invoke("where"))
    assert seen["uid"] == 65534 and not seen["root"] and seen["tmp"] and seen["capabilities"] == 0
    assert seen["no_new_privileges"] == "1" and seen["parameters"] == {"a": 1} and seen["health"]
    assert seen["environment"]["B"] == "2" and "DCF_TOKEN" not in seen["environment"]
    inspected = images.inspect(containers(images)[0])
    assert inspected["HostConfig"]["PidsLimit"] == 1024 and inspected["HostConfig"]["ReadonlyRootfs"]


def test_the_config_says_otherwise_in_so_many_words(host, images):
    gateway = host()
    create(gateway, images, "where", WHERE, container={
        "user": "root", "read_only": False, "capabilities": ["NET_ADMIN"], "new_privileges": True, "pids": 99})
    seen = json.loads(gateway.client.invoke("where"))
    assert seen["uid"] == 0 and seen["root"] and seen["capabilities"] == 1 << 12 and seen["no_new_privileges"] == "0"
    assert images.inspect(containers(images)[0])["HostConfig"]["PidsLimit"] == 99


def test_limits(host, images):
    gateway = host()
    code = ("import os\ndef Handler(req):\n    held = bytearray(int(req.input or 0))\n"
            "    return os.environ['OMP_NUM_THREADS']\n")
    create(gateway, images, "limited", code, limits={"memory": "128MiB", "cpu": "0.5"})
    made = images.inspect(containers(images)[0])["HostConfig"]
    assert made["Memory"] == made["MemorySwap"] == 128 << 20 and made["NanoCpus"] == 500_000_000
    assert gateway.client.invoke("limited", b"1000") == "1"
    error = refused(gateway.client.invoke, "limited", b"%d" % (512 << 20))
    assert error.name == "UNAVAILABLE" and "killed by the memory limit: limits.memory is 128 MiB" in str(error), error
    wait_until(lambda: "memory limit" in gateway.dcf("function", "log", "limited").text, 10, "said in the log")
    gateway.wait_ready("limited")
    assert gateway.client.invoke("limited", b"1") == "1"


def test_secrets_are_files(host, images):
    gateway = host()
    missing = create(gateway, images, "where", WHERE, secrets=["key"], check=False)
    assert missing.returncode == 1 and f"put it into {gateway.data}/secrets/key" in missing.error, missing.error
    (gateway.data / "secrets").mkdir(exist_ok=True)
    (gateway.data / "secrets/key").write_text("sesame")
    (gateway.data / "secrets/other").write_text("no")
    create(gateway, images, "where", WHERE, secrets=["key"])
    assert json.loads(gateway.client.invoke("where"))["secrets"] == {"key": "sesame"}
    assert "sesame" not in json.dumps(images.inspect(containers(images)[0]))
    gateway.delete("where")
    wait_until(lambda: list((gateway.data / "run/secrets").glob("*")) == [], 10, "the copy gone")


def test_what_a_container_writes_is_the_log(host, images):
    gateway = host()
    create(gateway, images, "noisy",
           "import sys\nprint('made')\ndef Handler(req):\n    print('said', req.input.decode())\n"
                                     "    sys.stderr.write('loud\\n')\n    return ''\n")
    gateway.client.invoke("noisy", b"words", metadata=[("x-request-id", "r-1")])

    def lines():
        text = gateway.dcf("function", "log", "noisy").text
        return text if all(word in text for word in ("made", "said words", "loud")) else None

    text = wait_until(lines, 10, "the lines")
    assert re.search(r"1 stdout r-1 said words", text) and re.search(r"1 stderr r-1 loud", text), text


def test_a_broken_constructor(host, images):
    gateway = host()
    done = create(gateway, images, "broken", BROKEN, check=False)
    assert done.returncode == 1 and "KeyError: 'no'" in done.error and "handler.py\", line 3" in done.error, done.error
    assert gateway.client.names() == []
    wait_until(lambda: containers(images) == [], 10, "the container gone")
    # What was built stays, to be looked at; the gateway's own name for it does not.
    wait_until(lambda: [name for name in images(
        "images", "--format", "{{.Repository}}", "--filter", label("broken")).stdout.split()
        if name.startswith("dcf.kept/")] == [], 20, "the image has no name for a version that is not kept")


def test_a_step_that_fails_shows_what_it_said(host, images):
    gateway = host()
    path = gateway.write("bad", None,
                         {"handler.py": ECHO, "Dockerfile": "FROM dcf-test/bookworm\nRUN echo too bad; exit 3\n"})
    done = gateway.dcf("function", "build", "-f", str(path), check=False, environment=images.environment)
    assert done.returncode == 1 and "too bad" in done.error and "non-zero code: 3" in done.error, done.error


def test_build_streams_and_takes_arguments_and_packages(images, tmp_path):
    home = tmp_path / "work"
    (home / "f").mkdir(parents=True)
    (home / "f/handler.py").write_text(ECHO)
    (home / "f/Dockerfile").write_text(
        "FROM dcf-test/bookworm\nARG BUILD_PACKAGES\nARG A=none\nARG handler_file\n"
        "RUN echo \"got ${A} ${BUILD_PACKAGES} ${handler_file}\"\n")
    config = {"deploy": "image", "build_args": ["A=one"], "build_packages": ["libgl1", "curl"], "image": "test/args"}
    (home / "config.yaml").write_text(json.dumps({"functions": {"f": config}}))

    def build(*flags):
        return dcf("function", "build", "-f", str(home / "config.yaml"), *flags, environment=images.environment)

    assert "got one libgl1 curl handler.py" in build("-v").error
    cached = build("-v").error
    assert "Using cache" in cached and "got one" not in cached
    assert "got one" in build("-v", "--nocache").error
    quiet = build().error
    assert "got one" not in quiet and "built test/args" in quiet


def test_the_template_serves_without_a_dockerfile(host, images):
    skipping(images.python, "3.12")
    gateway = host()
    path = gateway.write("plain", None, {"handler.py": ECHO}, {"image": "test/plain"})
    gateway.dcf("function", "create", "-f", str(path), environment=images.environment)
    assert gateway.client.invoke("plain", b"x") == "x"


def run(images, tmp_path, handler, input=b"", check=True, **config):
    home = tmp_path / f"run-{time.monotonic_ns()}"
    (home / "f").mkdir(parents=True)
    (home / "f/handler.py").write_text(handler)
    (home / "f/Dockerfile").write_text(Docker.FUNCTION)
    (home / "config.yaml").write_text(
        json.dumps({"functions": {"f": {"deploy": "image", "image": "test/run", **config}}}))
    dcf("function", "build", "-f", str(home / "config.yaml"), environment=images.environment)
    before = images("ps", "--all", "--quiet").stdout
    done = dcf("function", "run", "f", "-f", str(home / "config.yaml"), input=input, check=check,
               environment=images.environment, timeout=60)
    assert images("ps", "--all", "--quiet").stdout == before, "the container is left"
    return done


def test_run_makes_one_call(images, tmp_path):
    data = os.urandom(300_000)
    assert run(images, tmp_path, ECHO, data).stdout == data
    assert run(images, tmp_path, ECHO).stdout == b""
    seen = json.loads(run(images, tmp_path, WHERE, parameters={"a": 2}).stdout)
    assert seen["uid"] == 65534 and not seen["root"] and seen["parameters"] == {"a": 2}


def test_run_ends_where_the_constructor_breaks(images, tmp_path):
    done = run(images, tmp_path, BROKEN, check=False)
    assert done.returncode == 1 and done.stdout == b"", done
    assert "KeyError: 'no'" in done.error and 'handler.py", line 3' in done.error, done.error


def test_run_of_what_is_not_built(images, tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "f/handler.py").write_text(ECHO)
    (tmp_path / "config.yaml").write_text(json.dumps({"functions": {"f": {"deploy": "image", "image": "test/never"}}}))
    done = dcf("function", "run", "f", "-f", str(tmp_path / "config.yaml"), check=False, environment=images.environment)
    assert done.returncode == 1 and 'build it with "dcf function build f"' in done.error, done.error


@pytest.fixture(scope="module")
def registry(images):
    return skipping(images.registry)


@pytest.fixture(scope="module")
def closed_registry(images):
    return skipping(lambda: images.registry(login=LOGIN))


def test_a_registry(registry, host, images):
    """The gateway gets what was pushed, by its digest, with the engine's own copy gone."""
    gateway = host()
    done = create(gateway, images, "echo", ECHO, "--registry", registry, "-v")
    assert "Pushed" in done.error, done.error
    function = gateway.client.meta("echo")
    assert re.fullmatch(rf"{registry}/test/echo@sha256:[0-9a-f]{{64}}", function.Image), function.Image
    gateway.delete("echo")
    wait_until(lambda: containers(images) == [], 10, "the container gone")
    images("rmi", "--force", function.ImageID)
    assert not images.has(f"{registry}/test/echo")
    path = gateway.write("echo", None, {"handler.py": ECHO}, {"image": function.Image, "skip_build": True})
    done = gateway.dcf("function", "deploy", "-f", str(path), "-v", environment=images.environment)
    assert "pulling" in done.error and gateway.client.invoke("echo", b"x") == "x"


def test_a_registry_that_asks_who_is_there(closed_registry, host, images, tmp_path):
    """Credentials come from Docker's config, and are nowhere afterwards."""
    registry = closed_registry
    gateway = host()
    done = create(gateway, images, "echo", ECHO, "--registry", registry, check=False)
    assert done.returncode == 1 and "cannot push" in done.error and "no basic auth" in done.error, done.error
    config, auth = logged_in(tmp_path, registry)
    done = gateway.dcf("function", "create", "-f", str(done.path), "--registry", registry,
                       environment={**images.environment, **config})
    assert gateway.client.invoke("echo", b"x") == "x"
    text = gateway.text() + gateway.dcf("function", "log", "echo").text + done.error
    kept = b"".join(file.read_bytes() for file in gateway.data.rglob("*.db*"))
    for secret in (PASSWORD, auth):
        assert secret not in text and secret.encode() not in kept


def test_an_update_pins_the_new_image(host, images):
    gateway = host()
    create(gateway, images, "two", ECHO)
    first = gateway.client.meta("two").ImageID
    done = create(gateway, images, "two", ECHO, check=False)
    assert done.returncode == 1 and "--update" in done.error
    errors = []
    stopped = threading.Event()

    def call():
        while not stopped.is_set():
            try:
                gateway.client.invoke("two", b"x")
            except Exception as error:
                errors.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    create(gateway, images, "two", "def Handler(req):\n    return b'new'\n", "--update")
    stopped.set()
    caller.join()
    assert errors == [] and gateway.client.invoke("two", b"x") == "new"
    assert gateway.client.meta("two").ImageID != first
    gateway.dcf("function", "rollback", "two")
    assert gateway.client.invoke("two", b"x") == "x" and gateway.client.meta("two").ImageID == first


# Images that come and go.


def label(name):
    return f"label=io.dcf.function={name}"


def test_build_then_deploy_to_a_registry(registry, host, images):
    gateway = host()
    done = create(gateway, images, "steps", ECHO, command="build")
    assert "built test/steps" in done.error, done.error
    gateway.dcf("function", "deploy", "-f", str(done.path), "--registry", registry, environment=images.environment)
    assert gateway.client.invoke("steps", b"x") == "x"
    # What runs here without a gateway is what was built last, whatever its registry.
    path = create(gateway, images, "steps", "def Handler(req):\n    return 'new'\n", "--update", "--registry",
                  registry).path
    done = gateway.dcf("function", "run", "steps", "-f", str(path), input=b"", environment=images.environment)
    assert done.stdout == b"new", done


def test_a_pruned_image_is_got_again(registry, host, images):
    """While its function is idle, and before a rollback; the gateway's own restart changes nothing."""
    gateway = host("--limit", "idle=500ms")
    create(gateway, images, "pruned", ECHO, "--registry", registry, replicas={"min": 0, "max": 1})
    wait_until(lambda: gateway.client.meta("pruned").Status == "Idle", 20, "idle")
    wait_until(lambda: containers(images) == [], 10, "no container")

    def prune():
        for name in images("images", "--quiet", "--no-trunc", "--filter", label("pruned")).stdout.split():
            images("rmi", "--force", name)
        assert images("images", "--quiet", "--filter", label("pruned")).stdout == ""

    prune()
    assert gateway.client.invoke("pruned", b"x") == "x"
    create(gateway, images, "pruned", "def Handler(req):\n    return 'new'\n", "--update", "--registry", registry)
    old = gateway.client.meta("pruned").ImageID
    gateway.stop()
    prune()
    gateway.start()
    gateway.dcf("function", "rollback", "pruned")
    assert gateway.client.invoke("pruned", b"x") == "x" and gateway.client.meta("pruned").ImageID != old


def test_a_pruned_image_that_no_registry_has(host, images):
    """Said at once, and again by a rollback and a restart."""
    gateway = host("--limit", "idle=500ms")
    create(gateway, images, "lost", ECHO, replicas={"min": 0, "max": 1})
    wait_until(lambda: gateway.client.meta("lost").Status == "Idle", 20, "idle")
    wait_until(lambda: containers(images) == [], 10, "no container")
    # What nobody uses and has no name goes; what is kept has one.
    images("image", "prune", "--force")
    assert gateway.client.invoke("lost", b"x") == "x"
    wait_until(lambda: gateway.client.meta("lost").Status == "Idle", 20, "idle again")
    wait_until(lambda: containers(images) == [], 10, "no container")
    images("rmi", "--force", gateway.client.meta("lost").ImageID)
    begun = time.monotonic()
    error = refused(gateway.client.invoke, "lost", b"x", timeout=20)
    assert error.name == "FAILED_PRECONDITION" and "never sent to a registry" in str(error), error
    assert "dcf function create lost --update" in str(error) and time.monotonic() - begun < 5
    done = gateway.dcf("function", "restart", "lost", check=False)
    assert done.returncode == 1 and "never sent to a registry" in done.error, done.error
    create(gateway, images, "lost", ECHO, "--update", replicas={"min": 0, "max": 1})
    assert gateway.client.invoke("lost", b"x") == "x"


def test_images_go_with_their_versions(host, images):
    gateway = host("--limit", "versions=2")
    before = set(images("images", "--quiet", "--no-trunc").stdout.split())

    def made():
        return images("images", "--quiet", "--no-trunc", "--filter", label("many")).stdout.split()

    for number in range(4):
        create(gateway, images, "many", f"def Handler(req):\n    return '{number}'\n",
               *(["--update"] if number else []))
    wait_until(lambda: len(set(made())) == 2, 20, f"two images of two versions: {made()}")
    assert images("images", "--quiet", "--filter", "dangling=true", "--filter", label("many")).stdout == ""
    gateway.dcf("function", "rollback", "many")
    assert gateway.client.invoke("many") == "2"
    # Somebody else's name keeps it.
    images("tag", gateway.client.meta("many").ImageID, "somebody/else:1")
    gateway.delete("many")
    wait_until(lambda: images("images", "--format", "{{.Repository}}", "--filter", label("many")).stdout.split()
               == ["somebody/else"], 20, "none is left of a function that is gone")
    images("rmi", "somebody/else:1")
    assert set(images("images", "--quiet", "--no-trunc").stdout.split()) <= before
    # Builds that nobody deploys replace one another.
    for number in range(3):
        create(gateway, images, "many", f"def Handler(req):\n    return '{number}'\n", command="build")
    assert len(made()) == 1


def test_what_dockerignore_names_is_not_in_the_image(images, tmp_path):
    (tmp_path / "f/data").mkdir(parents=True)
    for name, text in {"handler.py": ECHO, "Dockerfile": Docker.FUNCTION, "key.pem": "secret", "data/large": "x",
                       "data/kept": "x", ".dockerignore": "**/*.pem\ndata\n!data/kept\nDockerfile\n.dockerignore\n",
                       ".dcfignore": "notes\n", "notes": "x"}.items():
        (tmp_path / "f" / name).write_text(text)
    (tmp_path / "config.yaml").write_text(
        json.dumps({"functions": {"f": {"deploy": "image", "image": "test/ignoring"}}}))
    dcf("function", "build", "-f", str(tmp_path / "config.yaml"), environment=images.environment)
    found = images.run("test/ignoring", "-c", "find /dcf/handler -type f", flags=("--entrypoint", "sh")).stdout.split()
    assert sorted(found) == [f"/dcf/handler/{name}" for name in (
        ".dcfignore", "data/kept", "handler.py", "requirements.txt")]


def test_without_the_watchers_image(images, tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "f/handler.py").write_text(ECHO)
    (tmp_path / "f/Dockerfile").write_text(Docker.FUNCTION)
    config = {"deploy": "image", "image": "test/none", "build_args": ["REGISTRY=127.0.0.1:1/dcf"]}
    (tmp_path / "config.yaml").write_text(json.dumps({"functions": {"f": config}}))
    done = dcf("function", "build", "-f", str(tmp_path / "config.yaml"), check=False, environment=images.environment)
    assert done.returncode == 1 and '"make images"' in done.error, done.error
    assert f"lacks 127.0.0.1:1/dcf/watcher:{Docker.version()}, the watcher's image" in done.error


def test_files_get_no_colours(images, tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "f/handler.py").write_text(ECHO)
    (tmp_path / "f/Dockerfile").write_text("FROM dcf-test/bookworm\nRUN echo warned >&2\n")
    (tmp_path / "config.yaml").write_text(json.dumps({"functions": {"f": {"deploy": "image", "image": "test/none"}}}))
    done = dcf("function", "build", "-v", "-f", str(tmp_path / "config.yaml"), environment=images.environment)
    assert "warned" in done.error and "\x1b" not in done.error, done.error


COUNTED = """
import os, uuid

class Handler:
    def __init__(self):
        self.made = uuid.uuid4().hex

    def __call__(self, req):
        return self.made
"""


@pytest.mark.parametrize("code", [COUNTED, COUNTED.replace("def __call__", "async def __call__")], ids=["def", "async"])
def test_kill_9_of_the_gateway(host, images, code):
    """The gateway's containers go on. The next gateway takes them over, with their models loaded, removes those that
    it does not need, and touches no others."""
    gateway = host()
    create(gateway, images, "echo", code, replicas=2)
    create(gateway, images, "gone", code)
    before = set(containers(images))
    assert len(before) == 3
    made = gateway.client.each_replica("echo", 2)
    (gone,) = [each for each in before if images.inspect(each)["Config"]["Labels"]["io.dcf.function"] == "gone"]
    foreign = images("run", "--detach", "--label", f"{LABEL}=somebody", "--network", "none", "--entrypoint", "sleep",
                     "test/echo", "600").stdout.strip()
    try:
        gateway.kill()
        images("kill", gone)
        gateway.start()
        gateway.wait_ready("echo")
        wait_until(lambda: "the gateway was away" in gateway.client.log("echo"), 10, "what may be lost is said")
        # One that died meanwhile is made anew.
        wait_until(lambda: set(containers(images)) >= before - {gone} and len(containers(images)) == 4, 20, "all there")
        assert gateway.client.invoke("gone") != ""
        assert gateway.client.each_replica("echo", 2) == made
        assert images.inspect(foreign)["State"]["Running"]
        gateway.delete("echo", "gone")
        wait_until(lambda: containers(images) == [foreign], 10, "only the other's left")
    finally:
        images.remove(foreign)


def test_a_killed_container_comes_back(host, images):
    gateway = host()
    create(gateway, images, "echo")
    (container,) = containers(images)
    images("kill", container)
    wait_until(lambda: containers(images) not in ([], [container]), 20, "another container")
    gateway.wait_ready("echo")
    assert gateway.client.invoke("echo", b"x") == "x"


def test_an_engine_that_is_away_for_a_while(host, images):
    """Its containers end with it; the gateway goes on, says why, and starts them again when it is back."""
    if not images.process:
        pytest.skip("the engine is not the tests' own")
    gateway = host()
    create(gateway, images, "echo")
    images.halt()
    try:
        wait_until(lambda: gateway.client.meta("echo").AvailableReplicas == 0, 30, "the replica is missed")
        path = gateway.write("other", None, {"handler.py": ECHO}, {"image": "test/echo", "skip_build": True})
        done = gateway.dcf("function", "deploy", "-f", str(path), check=False, environment=images.environment)
        assert done.returncode == 1 and "Docker engine" in done.error, done.error
        # A machine may start its gateway before its engine.
        gateway.kill()
        gateway.start()
        wait_until(lambda: gateway.client.log("echo").count("not started: there is no Docker engine") >= 4, 30, "tries")
        assert gateway.client.meta("echo").Status != "Failed"
    finally:
        images.launch()
    gateway.wait_ready("echo", 60)
    assert gateway.client.invoke("echo", b"x") == "x"
    wait_until(lambda: len(containers(images)) == 1, 20, "what the engine lost is taken away")


# What goes wrong.


def test_no_engine(own_gateway, tmp_path):
    gateway = own_gateway("--engine", "docker", environment={"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    path = gateway.write("echo", None, {"handler.py": ECHO}, {"image": "test/echo", "skip_build": True})
    done = gateway.dcf("function", "deploy", "-f", str(path), check=False)
    assert done.returncode == 1 and "there is no Docker engine at" in done.error and "start it" in done.error, (
        done.error)
    done = dcf("function", "build", "-f", str(gateway.write("b", None, {"handler.py": ECHO}, {"deploy": "image"})),
               check=False, environment={"DOCKER_HOST": "tcp://1.2.3.4:5"})
    assert done.returncode == 1 and "set it to the address of a unix socket" in done.error, done.error


def test_an_engine_that_one_may_not_use(images, tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "f/handler.py").write_text(ECHO)
    (tmp_path / "config.yaml").write_text(json.dumps({"functions": {"f": {"deploy": "image"}}}))
    path, scratch = tmp_path / "engine.sock", tmp_path / "scratch"
    scratch.mkdir()
    scratch.chmod(0o777)
    with closing(unix_listener(path)):
        path.chmod(0o600)
        for each in [tmp_path, *tmp_path.parents]:
            if each.stat().st_uid == os.getuid() and str(each).startswith(tempfile.gettempdir() + "/"):
                each.chmod(0o755)
        done = subprocess.run(
            [BIN / "dcf", "function", "build", "-f", tmp_path / "config.yaml"], capture_output=True, text=True,
            user=65534, env={**os.environ, "DOCKER_HOST": f"unix://{path}", "TMPDIR": str(scratch)})
    assert done.returncode == 1 and "not allowed to use the Docker engine" in done.stderr, done.stderr
    assert "usermod -aG docker" in done.stderr


def image_for(processor, name, folder):
    """An archive of an image with nothing in it, as `docker save` writes them."""
    layer = bytes(10240)
    config = json.dumps({"architecture": processor, "os": "linux", "config": {"Cmd": ["/none"]}, "rootfs": {
        "type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    path = folder / "image.tar"
    with tarfile.open(path, "w") as archive:
        for each, content in [("config.json", config), ("layer.tar", layer), ("manifest.json", manifest)]:
            entry = tarfile.TarInfo(each)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def test_an_image_for_another_processor(host, images, tmp_path):
    other = "arm64" if architecture() == "amd64" else "amd64"
    images("load", "--input", image_for(other, "test/other:latest", tmp_path))
    gateway = host()
    path = gateway.write("other", None, {"handler.py": ECHO}, {"image": "test/other", "skip_build": True})
    done = gateway.dcf("function", "deploy", "-f", str(path), check=False, environment=images.environment)
    assert done.returncode == 1 and f'image "test/other" is for {other}' in done.error, done.error
    assert f"build it for linux/{architecture()}" in done.error


def test_a_full_disk_during_a_pull(registry, images, own_gateway, tmp_path):
    """An engine whose disk is smaller than the image."""
    images("tag", images.debian(), f"{registry}/test/large")
    images("push", f"{registry}/test/large")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dcf-f-"))
    (folder / "data").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", folder / "data"], check=True)
    small = Docker(folder)
    try:
        skipping(small.start)
        gateway = own_gateway("--engine", "docker", environment=small.environment)
        path = gateway.write("large", None, {"handler.py": ECHO},
                             {"image": f"{registry}/test/large", "skip_build": True})
        done = gateway.dcf("function", "deploy", "-f", str(path), check=False, environment=small.environment)
        assert done.returncode == 1 and "no space left" in done.error and "docker system prune" in done.error, (
            done.error)
        assert gateway.client.names() == []
        gateway.end()
    finally:
        small.stop()


def unix_listener(path):
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen()
    return made


def test_no_image(host, images):
    gateway = host()
    path = gateway.write("echo", None, {"handler.py": ECHO}, {"image": "127.0.0.1:1/none", "skip_build": True})
    done = gateway.dcf("function", "deploy", "-f", str(path), check=False, environment=images.environment)
    assert done.returncode == 1 and "cannot pull 127.0.0.1:1/none" in done.error and "refused" in done.error, done.error
    assert gateway.client.names() == []


@pytest.mark.parametrize("dockerfile, says", [
    ("FROM scratch\nCOPY . /\nENTRYPOINT [\"/nothing\"]\n", "/nothing"),
    (Docker.FUNCTION.replace("FROM dcf-test/bookworm", "FROM scratch"), "there is no python3 in this image"),
    (Docker.FUNCTION.replace("COPY . /dcf/handler", ""), "handler.py"),
], ids=["no program", "no Python", "no handler"])
def test_an_image_that_cannot_run(host, images, dockerfile, says):
    gateway = host()
    done = create(gateway, images, "bad", files={"Dockerfile": dockerfile}, check=False)
    assert done.returncode == 1 and says in done.error, done.error
    assert gateway.client.names() == []
    wait_until(lambda: containers(images) == [], 10, "the container gone")


def test_a_gpu_where_the_engine_has_none(host, images, nvml):
    nvml.devices(1)
    gateway = host(environment=nvml.environment)
    done = create(gateway, images, "gpu", limits={"gpu": 1}, check=False)
    assert done.returncode == 1 and "nvidia-container-toolkit" in done.error, done.error
    bare = host(environment={"DCF_NVML": "/none", "PATH": "/usr/bin:/bin"})
    done = create(bare, images, "gpu", limits={"gpu": 1}, check=False)
    assert done.returncode == 1 and "GPU" in done.error, done.error


def test_a_key_of_the_other_kind(host, images):
    gateway = host()
    done = create(gateway, images, "echo", preload=["json"], check=False)
    assert done.returncode == 1 and "functions.echo.preload is for functions that run as processes" in done.error
    done = create(gateway, images, "echo", deploy="process", build_packages=["curl"], check=False)
    assert (done.returncode == 1
            and "functions.echo.build_packages is for functions that are deployed as images" in done.error)
