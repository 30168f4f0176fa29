"""Images of functions: the watcher's folder on many bases, the Dockerfile that `dcf function init` writes, the first
guide's Dockerfile, and what an image says that cannot run."""
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import time

import pytest

from conftest import skipping
from support import FULL
from support.docker import ROOT
from support.gateway import BIN, FUNCTIONS, dcf
from support.link import Link
from support.waiting import wait_until

VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
MIB = 1 << 20

#: The shortest image of a function: any base, the folder, the code.
SHORT = """
FROM {watcher} as watcher
FROM {base}
COPY --from=watcher /dcf/watcher /dcf/watcher
COPY . /dcf/handler
ENTRYPOINT ["/dcf/watcher/dcf-watcher"]
"""

#: The guide's, word for word but for its base and the packages for OpenCV.
GUIDE = """
ARG REGISTRY
ARG WATCHER_VERSION=0.1.0

FROM ${REGISTRY}/watcher:${WATCHER_VERSION}-tensorflow as watcher
FROM %s

ARG handler_file=handler.py
ARG handler_name=Handler

ENV HANDLER_DIR=/dcf/handler
ENV HANDLER_FILE=${HANDLER_DIR}/${handler_file}
ENV HANDLER_NAME=${handler_name}

COPY --from=watcher /dcf/watcher ${HANDLER_DIR}
# RUN mkdir -p ${HANDLER_DIR}
WORKDIR ${HANDLER_DIR}
COPY . .
RUN touch ${HANDLER_DIR}/__init__.py

%s

# Run?
# RUN cp -r /dcf/watcher/* ${HANDLER_DIR}

HEALTHCHECK --interval=1s CMD [ -e /tmp/.lock ] || exit 1

ENTRYPOINT ["python3"]
CMD ["server.py"]
"""

PLAIN = "def Handler(req):\n    return req.input\n"


@pytest.fixture
def link(scratch):
    made = Link(scratch / f"link-{time.monotonic_ns()}")
    yield made
    made.close()


@pytest.fixture
def begin(docker, link):
    """Starts a container that dials the link; it is gone after the test."""
    started = []

    def start(image, flags=()):
        started.append(docker.begin(image, flags=(*link.flags, *flags)))
        return started[-1]

    yield start
    for each in started:
        docker.remove(each)


@pytest.fixture(scope="module")
def watcher(docker):
    return docker.watcher()


@pytest.fixture(scope="module")
def python312(docker):
    """What the template's base is called, with nothing that a registry would have to give."""
    skipping(docker.debian)
    skipping(docker.python, "3.12")
    return "python:3.12-slim-bookworm"


def context(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"handler": PLAIN, **files}.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def short(docker, tmp_path, base, tag, dockerfile=SHORT, **files):
    docker.build(context(tmp_path / tag.replace(":", "-"), **files), tag,
                 dockerfile=dockerfile.format(watcher=docker.watcher(), base=base))
    return tag


def status(docker, container, seconds=20):
    return int(docker("wait", container, timeout=seconds).stdout)


# The folder.

def test_the_watchers_folder(tmp_path, capsys):
    done = subprocess.run([ROOT / "scripts/watcher-folder.sh", tmp_path / "w"], capture_output=True, text=True,
                          env={**os.environ, "DCF_BIN": str(BIN)})
    assert done.returncode == 0, done.stderr
    assert {each.name for each in (tmp_path / "w").iterdir()} == {"dcf-watcher", "libPythonWatcher.so", "server.py"}
    size = sum(each.stat().st_size for each in (tmp_path / "w").iterdir())
    with capsys.disabled():
        print(f"\n  the watcher's folder: {size / MIB:.1f} MiB")
    assert size <= 40_000_000


def test_a_watcher_that_is_not_built(tmp_path):
    done = subprocess.run([ROOT / "scripts/watcher-folder.sh", tmp_path / "w"], capture_output=True, text=True,
                          env={**os.environ, "DCF_BIN": str(tmp_path)})
    assert done.returncode == 66
    assert done.stderr == f"{tmp_path}/dcf-watcher is not there; run make watcher-folder, or make build\n"
    assert not (tmp_path / "w").exists()


def test_the_tags_of_the_original_are_the_same_image(docker, watcher):
    ids = {docker.inspect(watcher + suffix)["Id"] for suffix in ("", "-python3", "-tensorflow")}
    assert len(ids) == 1


# The template.

@pytest.fixture(scope="module")
def echo(docker, watcher, python312, tmp_path_factory):
    """The image of what `dcf function init` writes, as it is."""
    folder = tmp_path_factory.mktemp("echo")
    dcf("function", "init", "echo", "--runtime", "python3", cwd=folder)
    docker.build(folder / "echo", "dcf-test/echo")
    return "dcf-test/echo"


def test_the_image_of_echo_serves_and_is_small(docker, echo, python312, begin, link, capsys):
    above = docker.size(echo) - docker.size(python312)
    with capsys.disabled():
        print(f"\n  the image of echo: {above / MIB:.1f} MiB above its base")
    # The library of a release is smaller.
    assert above <= (15_000_000 if BIN.name == "release" else 16_000_000)
    container = begin(echo)
    link.ready()
    assert link.call(b"\0 any bytes") == b"\0 any bytes"
    wait_until(lambda: docker.inspect(container)["State"]["Health"]["Status"] == "healthy", 20, "healthy")
    link.drain()
    assert status(docker, container) == 0


def test_it_is_not_healthy_before_it_is_ready_nor_after(docker, watcher, debian, begin, link, tmp_path):
    image = short(docker, tmp_path, debian, "dcf-test/slow",
                  handler="import os, time\nwhile not os.path.exists('/dcf/link/go'):\n    time.sleep(0.01)\n"
                          "def Handler(req):\n    print('on', flush=True)\n"
                          "    while not os.path.exists('/dcf/link/end'):\n"
                          "        time.sleep(0.01)\n    return 'done'\n")
    container = begin(image)
    there = lambda: docker("exec", container, "test", "-e", "/tmp/.lock", check=False).returncode == 0  # noqa: E731
    wait_until(lambda: docker("exec", container, "true", check=False).returncode == 0, 20, "started")
    assert not there()
    (link.folder / "go").touch()
    link.ready()
    wait_until(there, 20, "the health file")
    link.begin(b"")
    wait_until(lambda: "on" in docker.log(container), 20, "the call has begun")
    link.drain()
    wait_until(lambda: not there(), 20, "no health file")
    (link.folder / "end").touch()
    assert link.finish() == b"done"
    assert status(docker, container) == 0


def test_stopping_a_container_finishes_its_call(docker, watcher, debian, begin, link, tmp_path):
    image = short(docker, tmp_path, debian, "dcf-test/stopped",
                  handler="import time\n\ndef Handler(req):\n    print('on', flush=True)\n    time.sleep(1)\n"
                          "    return 'done'\n")
    container = begin(image)
    link.ready()
    link.begin(b"")
    wait_until(lambda: "on" in docker.log(container), 20, "the call has begun")
    docker("kill", "--signal", "TERM", container)
    assert link.finish() == b"done"
    assert status(docker, container) == 0


def test_packages_and_arguments_of_the_build(docker, watcher, debian, tmp_path):
    """BUILD_PACKAGES and PYTHON_VERSION reach their places. The first needs a mirror: an apt-get that
    prints stands for it."""
    (tmp_path / "f").mkdir()
    dcf("function", "init", "other", "--runtime", "python3", cwd=tmp_path / "f")
    docker.build(context(tmp_path / "base"), "python:0.0-slim-bookworm", dockerfile=(
        f"FROM {debian}\nRUN rm /usr/bin/apt-get && printf '#!/bin/sh\\necho APT \"$@\"\\n' >/usr/bin/apt-get"
        " && chmod +x /usr/bin/apt-get\n"))
    done = docker.build(tmp_path / "f/other", "dcf-test/other", "--build-arg", "PYTHON_VERSION=0.0", "--build-arg",
                        "BUILD_PACKAGES=libgl1 ffmpeg")
    assert "APT install -y --no-install-recommends libgl1 ffmpeg\n" in done.stdout
    assert docker.run("dcf-test/other", flags=("--env", "DCF_ONCE=1"), input="x").stdout == "x"


# The guide.

@pytest.mark.parametrize("version", ["0.1.0", None])
def test_the_guides_own_dockerfile(docker, watcher, python312, begin, link, tmp_path, version):
    """A function of the guide: a helper package beside it, a plain `def Handler`."""
    folder = context(tmp_path / "ssd", handler="from models.predict import predict\n\ndef Handler(req):\n"
                                                "    return predict(req.input)\n")
    (folder / "models").mkdir()
    (folder / "models/predict.py").write_text("def predict(data):\n    return data[::-1]\n")
    (folder / "requirements.txt").write_text("")
    # Nothing is fetched: pip finds that there is nothing to do.
    text = GUIDE % (python312, "RUN python3 -m pip install --no-index -r requirements.txt")
    arguments = ("--build-arg", "REGISTRY=dcf", "--build-arg", f"WATCHER_VERSION={version or docker.version()}")
    if version and version != docker.version():
        docker("tag", f"{watcher}-tensorflow", f"dcf/watcher:{version}-tensorflow")
    docker.build(folder, "dcf-test/ssd", *arguments, dockerfile=text)
    container = begin("dcf-test/ssd")
    link.ready()
    assert link.call(b"abc") == b"cba"
    wait_until(lambda: docker.inspect(container)["State"]["Health"]["Status"] == "healthy", 20, "healthy")
    # The gateway gives DCF_CONTAINER; server.py does without.
    done = docker.run("dcf-test/ssd", flags=("--env", "DCF_ONCE=1"), input="abc")
    assert (done.returncode, done.stdout) == (0, "cba"), done.stderr


@pytest.mark.skipif(not FULL, reason="fetches some hundred MB; DCF_TEST_FULL=1")
def test_the_guides_own_dockerfile_with_its_packages(docker, watcher, debian, begin, link, tmp_path):
    pip = ("RUN rm -f /usr/lib/python3*/EXTERNALLY-MANAGED\nRUN pip install --upgrade pip\n"
           "RUN pip3 install --upgrade pip\nRUN pip3 install -r requirements.txt")
    # Where a proxy stands between this machine and the package index, its certificate is one of this machine's.
    certificates = pathlib.Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
    shutil.copy(certificates, context(tmp_path / "base"))
    docker.build(tmp_path / "base", "dcf-test/guide-base", dockerfile=(
        f"FROM {debian}\nCOPY {certificates.name} /etc/ssl/certs/ca-certificates.crt\n"
        "ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt\n"))
    text = (GUIDE % ("dcf-test/guide-base", pip)).replace("ARG handler_file", """RUN apt-get update \\
    && apt-get install -y libgtk2.0-dev \\
    libglib2.0-0 \\
    build-essential python3-pip

ARG handler_file""", 1)
    folder = context(tmp_path / "ssd")
    (folder / "requirements.txt").write_text("six\n")
    docker.build(folder, "dcf-test/ssd-full", "--build-arg", "REGISTRY=dcf", "--build-arg",
                 f"WATCHER_VERSION={docker.version()}", dockerfile=text)
    begin("dcf-test/ssd-full")
    link.ready()
    assert link.call(b"abc") == b"abc"


# Bases.

@pytest.mark.parametrize("version", VERSIONS if FULL else [VERSIONS[0], VERSIONS[-1]])
def test_images_with_every_python(docker, watcher, debian, begin, link, tmp_path, version):
    base = skipping(docker.python, version)
    begin(short(docker, tmp_path, base, f"dcf-test/on:{version}",
                handler="import sys\n\ndef Handler(req):\n    return '%d.%d' % sys.version_info[:2]\n"))
    link.ready()
    assert link.call(b"") == version.encode()


def test_debian_without_its_libpython(docker, watcher, debian, begin, link, tmp_path):
    done = docker.run(debian, "python3", "-c", "import ctypes; ctypes.CDLL('libpython3.11.so.1.0')")
    assert "cannot open shared object file" in done.stderr
    begin(short(docker, tmp_path, debian, "dcf-test/on:debian"))
    link.ready()
    assert link.call(b"x") == b"x"


def test_debian_with_its_libpython(docker, watcher, debian, begin, link, tmp_path):
    here = pathlib.Path("/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0")
    if not here.exists():
        pytest.skip("no libpython3.11 on this machine")
    shutil.copy(here, context(tmp_path / "lib"))
    docker.build(tmp_path / "lib", "dcf-test/libpython",
                 dockerfile=f"FROM {debian}\nCOPY {here.name} {here.parent}/\nRUN ldconfig\n")
    begin(short(docker, tmp_path, "dcf-test/libpython", "dcf-test/on:libpython"))
    link.ready()
    assert link.call(b"x") == b"x"


# What cannot be.

def refusal(done):
    """The one sentence."""
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("dcf-watcher: "), done.stderr
    return lines[0].removeprefix("dcf-watcher: ")


DIALS = ("--env", "DCF_LINK=unix:/dcf/link/link.sock", "--env", "DCF_TOKEN=t")


def test_an_image_that_nobody_called_says_what_it_is(docker, echo):
    assert refusal(docker.run(echo)) == (
        "DCF_LINK is not set: this is the image of a function, which a gateway starts (dcf function deploy); to try it "
        "here: dcf function run")


def test_an_image_without_a_python(docker, watcher, tmp_path):
    docker.build(context(tmp_path / "empty"), "dcf-test/empty", dockerfile=f"FROM {watcher}\nCOPY . /dcf/handler\n"
                 'ENTRYPOINT ["/dcf/watcher/dcf-watcher"]\n')
    assert re.fullmatch(r"there is no python3 in this image \(PATH is \S+\): a function's image is built on one that "
                        r"has Python 3\.9 or later", refusal(docker.run("dcf-test/empty", flags=DIALS)))


def test_an_image_with_an_old_python(docker, watcher, debian, tmp_path):
    base = skipping(docker.python, "3.8")
    image = short(docker, tmp_path, base, "dcf-test/on:3.8")
    assert refusal(docker.run(image, flags=DIALS)) == (
        "/usr/local/bin/python3 is Python 3.8, a function needs Python 3.9 or later; build the image on another base")


@pytest.mark.skipif(not FULL, reason="fetches another Debian; DCF_TEST_FULL=1")
def test_a_base_with_an_old_c_library(docker, watcher, tmp_path):
    base = skipping(docker.debian, "bullseye", "python3-minimal")
    image = short(docker, tmp_path, base, "dcf-test/on:bullseye")
    assert refusal(docker.run(image, flags=DIALS)) == (
        "/usr/bin/python3 cannot run a function: its C library is glibc 2.31, and glibc 2.34 or later is needed, as in "
        "Debian 12 and Ubuntu 22.04; build the image on another base")


def test_a_base_with_another_c_library(docker, watcher, debian, tmp_path):
    """An interpreter that cannot load the library, and knows no version of glibc: Alpine's musl gives an empty one."""
    image = short(docker, tmp_path, debian, "dcf-test/on:musl", dockerfile=SHORT + """
RUN printf 'import os\\nos.confstr = lambda name: ""\\n' \\
    >>/etc/python3.11/sitecustomize.py && printf broken >/dcf/watcher/libPythonWatcher.so
""")
    assert refusal(docker.run(image, flags=DIALS)) == (
        "/usr/bin/python3 cannot run a function: its C library is not glibc (Alpine's is musl), and glibc 2.34 or "
        "later is needed, as in Debian 12 and Ubuntu 22.04; build the image on another base")


def test_a_watcher_for_another_processor(docker, watcher, debian, tmp_path):
    """As the kernel sees it: the header names another machine."""
    image = short(docker, tmp_path, debian, "dcf-test/on:other", dockerfile=SHORT.replace(
        'ENTRYPOINT ["/dcf/watcher/dcf-watcher"]',
        "RUN printf '\\\\377\\\\000' | dd of=/dcf/watcher/dcf-watcher bs=1 seek=18 conv=notrunc 2>/dev/null\n"
        'ENTRYPOINT ["python3", "/dcf/watcher/server.py"]'))
    assert re.fullmatch(
        r"/dcf/watcher/dcf-watcher cannot be started: it is for another processor than this one \(\w+\)",
        refusal(docker.run(image, flags=DIALS)))


def test_no_handler_at_handler_file(docker, watcher, debian, begin, link, tmp_path):
    image = short(docker, tmp_path, debian, "dcf-test/nothing")
    container = begin(image, flags=("--env", "HANDLER_FILE=/dcf/handler/other.py"))
    answer = link.accept()
    words = "other.py is not in /dcf/handler; see HANDLER_FILE and HANDLER_DIR"
    assert words in answer.head.decode(errors="replace")
    assert status(docker, container) == 1
    assert docker.log(container) == f"dcf-watcher: {words}\n"


def test_one_call_without_a_gateway(docker, echo, debian, watcher, tmp_path):
    done = docker.run(echo, flags=("--env", "DCF_ONCE=1"), input=b"\0\xff", text=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\0\xff", b"")
    broken = short(docker, tmp_path, debian, "dcf-test/broken", handler="class Handler:\n    def __init__(self):\n"
                   "        raise ValueError('no model')\n    def __call__(self, req):\n        pass\n")
    done = docker.run(broken, flags=("--env", "DCF_ONCE=1"), input="")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n") and "ValueError: no model" in done.stderr


# The engine's side.

def test_a_registry_keeps_the_image(docker, echo):
    registry = skipping(docker.registry)
    name = f"{registry}/dcf/echo"
    docker("tag", echo, name)
    pushed = docker("push", name).stdout
    digest = re.search(r"digest: (sha256:[0-9a-f]{64})", pushed)[1]
    docker("rmi", name)
    docker("pull", f"{name}@{digest}")
    assert docker.inspect(f"{name}@{digest}")["Id"] == docker.inspect(echo)["Id"]


def test_from_docker_run_to_ready(docker, echo, scratch, capsys):
    """The goal is 1.0 s more than a bare `docker run` of the same image."""
    def bare():
        began = time.monotonic()
        docker("run", "--rm", *HARDENED_RUN, "--entrypoint", "/bin/true", echo)
        return time.monotonic() - began

    def ready(number):
        link = Link(scratch / f"ready-{number}-{time.monotonic_ns()}")
        began = time.monotonic()
        container = docker.begin(echo, flags=link.flags)
        try:
            link.ready()
            return time.monotonic() - began
        finally:
            link.close()
            docker.remove(container)

    rounds = [(bare(), ready(i)) for i in range(5)]
    first, second = (statistics.median(each) for each in zip(*rounds, strict=True))
    with capsys.disabled():
        print(f"\n  docker run: {first:.2f} s bare, {second:.2f} s to Ready")
    # A promise about time is measured by hand; here only that it is of that kind.
    assert second < first + 10


HARDENED_RUN = ("--network", "none", "--read-only", "--tmpfs", "/tmp")


# The gateway's own image.

def test_the_gateways_image(docker, gateway_image, tmp_path):
    """It listens beyond its own loopback, runs functions as processes, and ends with the container."""
    shown = docker.inspect(gateway_image)["Config"]
    assert shown["User"] == "dcf" and "--allow-plaintext" in shown["Entrypoint"]
    container = docker("run", "--detach", "--network", "none", gateway_image).stdout.strip()
    try:
        wait_until(lambda: "listening on 0.0.0.0:32222" in docker.log(container), 30, "listening")
        assert "plain" in docker.log(container).lower()
        docker("cp", FUNCTIONS / "echo", f"{container}:/tmp/echo")
        config = json.dumps({"functions": {"echo": {"runtime": "python3", "handler": {"dir": "/tmp/echo"}}}})
        docker("exec", "--interactive", container, "sh", "-c", "cat >/tmp/config.yaml", input=config)
        docker("exec", container, "dcf", "function", "create", "-f", "/tmp/config.yaml")
        done = docker("exec", "--interactive", container, "dcf", "function", "call", "echo", input="hello")
        assert done.stdout == "hello"
        wait_until(lambda: docker.inspect(container)["State"]["Health"]["Status"] == "healthy", 30, "healthy")
        asked = docker("exec", container, "dcf-gateway", "--healthy", "--listen", "127.0.0.1:9", check=False)
        assert asked.returncode == 1 and "no gateway answers at 127.0.0.1:9" in asked.stderr, asked
        docker("stop", "--time", "30", container)
        assert docker.inspect(container)["State"]["ExitCode"] == 0
    finally:
        docker.remove(container)


def test_a_gateway_in_a_container_runs_images_on_its_own_engine(docker, watcher, gateway_image):
    """With its data in a volume, of which only the engine knows where it lies."""
    path = docker.host.removeprefix("unix://")
    container = docker("run", "--detach", "--network", "none", "--volume", f"{path}:/var/run/docker.sock", "--volume",
                       "dcf-test-data:/var/lib/dcf", "--group-add", os.stat(path).st_gid, gateway_image, "--engine",
                       "docker").stdout.strip()
    try:
        wait_until(lambda: "listening on 0.0.0.0:32222" in docker.log(container), 30, "listening")
        assert "cannot see its folder" not in docker.log(container)
        config = json.dumps({"functions": {"boxed": {"image": "dcf-test/boxed"}}})
        files = {"config.yaml": config, "boxed/handler.py": PLAIN, "boxed/Dockerfile": docker.FUNCTION}
        docker("exec", container, "mkdir", "/tmp/boxed")
        for name, text in files.items():
            docker("exec", "--interactive", container, "sh", "-c", f"cat >/tmp/{name}", input=text)
        docker("exec", container, "dcf", "function", "create", "-f", "/tmp/config.yaml")
        done = docker("exec", "--interactive", container, "dcf", "function", "call", "boxed", input="hello")
        assert done.stdout == "hello"
        docker("stop", "--time", "30", container)
    finally:
        docker.remove(container)
        docker("volume", "rm", "dcf-test-data", check=False)
