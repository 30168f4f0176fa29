"""Functions as services of a real Swarm: two nodes, each with an engine and a network of its own, and the gateway
beside."""
import contextlib
import json
import os
import re
import socket
import subprocess
import threading
import time

import pytest

from conftest import skipping
from support import FULL
from support.client import Refused, refused
from support.docker import LOGIN, PASSWORD, logged_in
from support.gateway import BIN, Gateway
from support.swarm import Swarm
from support.waiting import load_for, wait_until

LABEL = "io.dcf.gateway"

#: A function on the tests' own Debian.
DOCKERFILE = """
ARG REGISTRY
ARG WATCHER_VERSION
FROM ${REGISTRY}/watcher:${WATCHER_VERSION} as watcher
FROM dcf-test/bookworm
ENV HANDLER_FILE=/dcf/handler/handler.py HANDLER_NAME=Handler
COPY --from=watcher /dcf/watcher /dcf/watcher
COPY . /dcf/handler
ENTRYPOINT ["/dcf/watcher/dcf-watcher"]
"""

#: Says where it is; with a number, after so many seconds.
WHERE = '''
import json, os, socket, time

class Handler:
    def __init__(self):
        print("made")

    def __call__(self, req):
        text = req.input.decode()
        if text.startswith("stream"):
            return (str(each) for each in range(3))
        time.sleep(float(text or 0))
        status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
        names = [name for name in os.listdir("/run/secrets") if not name.startswith(".")]
        return json.dumps({
            "version": 1, "host": socket.gethostname(), "uid": os.getuid(),
            "no_new_privileges": status["NoNewPrivs"].strip(), "capabilities": int(status["CapEff"], 16),
            "secrets": {name: open("/run/secrets/" + name).read() for name in names},
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES")})
'''


@pytest.fixture(scope="module")
def swarm():
    made = Swarm(2, gpus={1: ("GPU-a", "GPU-b")})
    skipping(made.start)
    try:
        skipping(made.manager.debian)
        made.manager.watcher()
        yield made
    finally:
        made.stop()


@pytest.fixture
def mended(swarm):
    """Nodes that a test killed run again after it, when its gateways and all that it started are gone."""
    yield
    for node in swarm.nodes:
        if node.process is None:
            swarm.restart_node(node.index)


@pytest.fixture
def host(swarm, mended, own_gateway):
    """A gateway beside the Swarm; nothing of it is left afterwards."""
    made = []

    def make(*flags, start=True):
        gateway = own_gateway(
            "--engine", "swarm", "--allow-plaintext", "--overlay-plaintext", "--link-listen", f"{swarm.host_address}:0",
            "--link-advertise", f"{swarm.host_address}:0", *flags, environment=dict(swarm.manager.environment),
            start=start)
        made.append(gateway)
        return gateway

    yield make
    for gateway in made:
        gateway.end()
    assert left(swarm) == ([], [])


def left(swarm):
    """Services and secrets of gateways."""
    swarm.revive()
    filters = {"label": [LABEL]}
    return ([each["Spec"]["Name"] for each in swarm.manager.api("GET", "/services", filters=filters)],
            [each["Spec"]["Name"] for each in swarm.manager.api("GET", "/secrets", filters=filters)])


def create(swarm, gateway, name, handler=WHERE, *flags, check=True, **config):
    path = gateway.write(name, None, {"handler.py": handler, "Dockerfile": DOCKERFILE},
                         {"image": f"test/{name}", **config})
    gateway.dcf("function", "build", "-f", str(path), environment=swarm.manager.environment)
    swarm.share(f"test/{name}")
    done = gateway.dcf("function", "deploy", "-f", str(path), *flags, check=check,
                       environment=swarm.manager.environment)
    done.path = path
    return done


def service(swarm):
    (name,) = left(swarm)[0]
    return name


def containers(swarm, name):
    """What the containers of a service's tasks call themselves."""
    def known():
        # The manager hears of a container later than the gateway hears from it.
        found = [each["Status"].get("ContainerStatus", {}).get("ContainerID", "") for each in swarm.tasks(name)]
        return all(found) and sorted(each[:12] for each in found)
    return wait_until(known, 30, "a container of each task")


def seen(gateway, name, count, among=60):
    """What `count` replicas say of themselves."""
    found = {}
    for _ in range(among // count):
        # At the same time: calls one after another go to the one that had the last.
        for call in [gateway.client.begin(name, b"0.1") for _ in range(count)]:
            one = json.loads(call.result().Output)
            found[one["host"]] = one
        if len(found) == count:
            break
    return found


class Load:
    """Calls, one after another, on some threads."""

    def __init__(self, gateway, name, threads=8, data=b"0.01"):
        self.client, self.name, self.data = gateway.client, name, data
        self.done, self.failed, self._stopped = [], [], threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self):
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_):
        self._stopped.set()
        for each in self._threads:
            each.join()

    def _run(self):
        while not self._stopped.is_set():
            begun = time.monotonic()
            try:
                self.client.invoke(self.name, self.data)
                self.done.append((begun, time.monotonic()))
            except Refused as error:
                self.failed.append((begun, time.monotonic(), error))


def test_a_function_is_a_service_on_all_nodes(swarm, host):
    gateway = host()
    (gateway.data / "secrets").mkdir(exist_ok=True)
    (gateway.data / "secrets/key").write_text("sesame")
    done = create(swarm, gateway, "where", replicas=4, secrets=["key"], limits={"memory": "64MiB", "cpu": "0.2"})
    assert done.error.rstrip().endswith("where: Ready"), done.error
    name = service(swarm)
    wait_until(lambda: swarm.running(name) == [0, 0, 1, 1], 10, "two tasks on each node")
    found = seen(gateway, "where", 4)
    assert sorted(found) == containers(swarm, name)
    for one in found.values():
        assert one["uid"] == 65534 and one["no_new_privileges"] == "1" and one["capabilities"] == 0, one
        assert one["secrets"] == {"key": "sesame"}
    spec = swarm.manager.api("GET", f"/services/{name}")["Spec"]
    assert spec["TaskTemplate"]["Resources"]["Limits"]["MemoryBytes"] == 64 << 20
    assert spec["TaskTemplate"]["Resources"]["Reservations"]["MemoryBytes"] == 64 << 20
    assert "sesame" not in json.dumps(spec)
    with Load(gateway, "where") as load:
        load_for(1)
    assert load.done and not load.failed, load.failed[:3]
    wait_until(lambda: gateway.dcf("function", "log", "where").text.count("made") >= 4, 20, "the lines of all tasks")
    for count in (1, 3):
        gateway.dcf("function", "scale", "where", str(count))
        wait_until(lambda count=count: len(swarm.tasks(name)) == count, 20, f"{count} tasks")
        gateway.wait_ready("where")
        assert len(seen(gateway, "where", count)) == count
    gateway.delete("where")
    wait_until(lambda: left(swarm) == ([], []), 30, "nothing of it left")


def test_an_update_loses_no_call(swarm, host):
    gateway = host()
    create(swarm, gateway, "where", replicas=2)
    with Load(gateway, "where") as load:
        create(swarm, gateway, "where", WHERE.replace('"version": 1', '"version": 2'), "--update", replicas=2)
        load_for(1)
    assert load.done and not load.failed, load.failed[:3]
    assert json.loads(gateway.client.invoke("where"))["version"] == 2
    wait_until(lambda: len(left(swarm)[0]) == 1, 30, "the old service gone")


def test_a_node_is_lost_under_load(swarm, host):
    gateway = host()
    create(swarm, gateway, "where", replicas=4)
    name = service(swarm)
    lost = {each["ID"] for each in swarm.tasks(name) if each["NodeID"] == swarm.nodes[1].identity}
    assert len(lost) == 2
    with Load(gateway, "where", threads=8) as load:
        load_for(1)
        killed = time.monotonic()
        swarm.kill_node(1)
        wait_until(lambda: swarm.state(1) == "down", 30, "the manager notices")
        down = time.monotonic()
        wait_until(lambda: swarm.running(name) == [0] * 4 and len(seen(gateway, "where", 4)) == 4, 30, "whole again")
        whole = time.monotonic()
        load_for(0.5)
    print(f"down after {down - killed:.1f} s, whole {whole - down:.1f} s after that, {len(load.done)} calls OK, "
          f"{len(load.failed)} failed")
    # How long an engine takes for a container is for the run at full length.
    assert not FULL or whole - down < 4
    # No more than were at the two replicas: one runs, and short calls are sent ahead.
    assert len(load.failed) <= 8
    for _, ended, error in load.failed:
        assert error.name == "UNAVAILABLE" and error.executed == "maybe" and ended - killed < 8, error
    wait_until(lambda: swarm.running(name) == [0] * 4, 10, "all on the node that is left")


def test_a_node_is_drained_under_load(swarm, host):
    """The Swarm tells the tasks there to end: they finish what they have, and get no more."""
    gateway = host()
    create(swarm, gateway, "where", replicas=4)
    name = service(swarm)
    wait_until(lambda: swarm.running(name) == [0, 0, 1, 1], 10, "two tasks on each node")
    try:
        with Load(gateway, "where", threads=8, data=b"0.2") as load:
            load_for(0.5)
            swarm.manager("node", "update", "--availability", "drain", swarm.nodes[1].identity)
            wait_until(lambda: swarm.running(name) == [0] * 4 and len(seen(gateway, "where", 4)) == 4, 30,
                       "all on the other")
            load_for(0.5)
    finally:
        swarm.manager("node", "update", "--availability", "active", swarm.nodes[1].identity)
    assert len(load.done) > 20 and load.failed == [], load.failed[:3]


def test_the_managers_engine_dies_under_load(swarm, host):
    """What runs goes on, and is called; when the engine is back, so is the gateway's say."""
    gateway = host()
    create(swarm, gateway, "where", replicas=2)
    name = service(swarm)
    wait_until(lambda: swarm.running(name) == [0, 1], 10, "a task on each node")
    with Load(gateway, "where") as load:
        load_for(0.5)
        swarm.manager.crash()
        died = time.monotonic()
        load_for(3)
        back = time.monotonic()
        swarm.manager.launch()
        wait_until(lambda: swarm.state(0) == "ready" and len(swarm.running(name)) == 2, 60, "the Swarm is whole")
        wait_until(lambda: sorted(seen(gateway, "where", 2)) == containers(swarm, name), 60, "so is the function")
    assert [each for each in load.done if died < each[0] < back], "no call while the engine was away"
    assert not [each for each in load.failed if died < each[0] < back], load.failed[:3]
    # The engine ends the containers that it finds when it starts again.
    assert all(error.executed == "maybe" for _, _, error in load.failed) and len(load.failed) <= 8, load.failed[:3]
    gateway.dcf("function", "scale", "where", "3")
    wait_until(lambda: len(swarm.tasks(name)) == 3, 20, "3 tasks")


def test_a_task_that_ends_is_replaced(swarm, host):
    gateway = host()
    code = ("import os\ndef Handler(req):\n    if req.input == b'die':\n        os._exit(3)\n"
            "    return os.uname().nodename\n")
    create(swarm, gateway, "mortal", code)
    first = gateway.client.invoke("mortal")

    def says_how():
        # The manager may hear of it later than the caller can be kept waiting.
        error = refused(gateway.client.invoke, "mortal", b"die")
        assert error.name == "UNAVAILABLE", error
        return "exit status 3" in str(error)

    wait_until(says_how, 60, "how it ended")
    gateway.wait_ready("mortal")
    assert gateway.client.invoke("mortal") != first


def test_a_stuck_handler_says_where(swarm, host):
    gateway = host()
    create(swarm, gateway, "where", timeout={"call": "1s"})
    stuck = json.loads(gateway.client.invoke("where"))["host"]
    error = refused(gateway.client.invoke, "where", b"1000")
    assert (error.name, error.executed) == ("DEADLINE_EXCEEDED", "maybe"), error

    def replaced():
        with contextlib.suppress(Refused):
            return json.loads(gateway.client.invoke("where"))["host"] != stuck

    wait_until(replaced, 20, "a replacement")
    wait_until(lambda: ', line 12 in __call__' in gateway.dcf("function", "log", "where").text, 10,
               "its stack in the log")


def test_constraints_and_generic_resources(swarm, host):
    gateway = host()
    worker = ["node.role==worker"]
    create(swarm, gateway, "plain", constraints=worker)
    wait_until(lambda: swarm.running(service(swarm)) == [1], 10, "it runs on the worker")
    # Docker 20.10 rejects a task with a device again and again where no other keeps its node on the overlay.
    create(swarm, gateway, "where", replicas=2, constraints=worker, limits={"gpu": 1})
    found = seen(gateway, "where", 2)
    (name,) = (each for each in left(swarm)[0] if "where" in each)
    wait_until(lambda: swarm.running(name) == [1, 1], 10, "both run on the worker")
    assert sorted(one["gpu"] for one in found.values()) == ["GPU-a", "GPU-b"]
    gateway.delete("where", "plain")
    done = create(swarm, gateway, "nowhere", check=False, constraints=["node.labels.none==yes"],
                  timeout={"start": "5s"})
    assert done.returncode == 1 and "no suitable node" in done.error and "timeout.start" in done.error, done.error
    wait_until(lambda: left(swarm) == ([], []), 30, "nothing of it left")


def test_an_image_that_the_nodes_cannot_get(swarm, host):
    gateway = host()
    path = gateway.write("alone", None, {"handler.py": WHERE + "# alone\n", "Dockerfile": DOCKERFILE},
                         {"image": "test/alone", "constraints": ["node.role==worker"]})
    gateway.dcf("function", "build", "-f", str(path), environment=swarm.manager.environment)
    done = gateway.dcf("function", "deploy", "-f", str(path), check=False, environment=swarm.manager.environment)
    assert done.returncode == 1 and "node2: it cannot get the image" in done.error and "never pushed" in done.error, (
        done.error)
    wait_until(lambda: left(swarm) == ([], []), 30, "nothing of it left")


@pytest.fixture(scope="module")
def closed_registry(swarm):
    return skipping(lambda: swarm.registry(login=LOGIN))


def test_the_nodes_pull_as_who_deployed(closed_registry, swarm, host, tmp_path):
    """From a registry that asks who is there; the gateway passes credentials on, and shows them nowhere."""
    registry = closed_registry
    config, auth = logged_in(tmp_path, registry)
    gateway = host()
    path = gateway.write("private", None, {"handler.py": WHERE + "# private\n", "Dockerfile": DOCKERFILE},
                         {"image": "test/private", "replicas": 2})
    done = gateway.dcf("function", "create", "-f", str(path), "--registry", registry,
                       environment={**swarm.manager.environment, **config})
    name = service(swarm)
    wait_until(lambda: swarm.running(name) == [0, 1], 30, "the other node has pulled it")
    assert len(seen(gateway, "private", 2)) == 2
    spec = json.dumps(swarm.manager.api("GET", f"/services/{name}"))
    kept = b"".join(file.read_bytes() for file in gateway.data.rglob("*") if file.is_file())
    for secret in (PASSWORD, auth):
        assert secret not in gateway.text() + done.error + spec and secret.encode() not in kept


def test_streams_and_broken_constructors(swarm, host):
    gateway = host()
    create(swarm, gateway, "where")
    assert gateway.client.invoke("where", b"stream") == "012"
    done = create(swarm, gateway, "broken", "class Handler:\n    def __init__(self):\n        {}['no']\n"
                                            "    def __call__(self, req):\n        return 1\n",
                  check=False)
    assert done.returncode == 1 and "KeyError: 'no'" in done.error, done.error
    assert gateway.client.names() == ["where"]


def test_a_gateway_that_was_killed_finds_its_own(swarm, host):
    gateway = host()
    create(swarm, gateway, "where", replicas=2)
    before = set(containers(swarm, service(swarm)))
    gateway.kill()
    gateway.start()
    gateway.wait_ready("where", 60)
    assert gateway.client.invoke("where", b"0")
    after = set(containers(swarm, service(swarm)))
    assert not before & after
    gateway.stop()
    assert left(swarm)[0] == []


def test_a_token_that_does_not_match(swarm, host):
    gateway = host()
    create(swarm, gateway, "where")
    link = re.search(r"tasks dial (tcp:\S+)", gateway.text())[1]

    def run():
        done = swarm.manager("run", "--rm", "--network", "dcf", "--read-only", "--tmpfs", "/tmp",
                             "--user", "65534:65534", "-e", f"DCF_LINK={link}", "-e", "DCF_TOKEN=" + "0" * 32,
                             "-e", "DCF_TASK=x", "-e", "DCF_CONTAINER=1", "test/where", check=False, timeout=60)
        # 125: the engine itself could not start it, for example because the overlay was just being taken down.
        return done if done.returncode != 125 else None

    done = wait_until(run, 60, "a container on the overlay")
    assert done.returncode == 69 and "DCF_TOKEN is not the token" in done.stderr, done
    wait_until(lambda: "token" in gateway.text(), 5, f"the gateway says so, after {done}")
    assert len(gateway.client.meta("where").Instances) == 1
    assert json.loads(gateway.client.invoke("where"))["host"] in containers(swarm, service(swarm))


def fails(gateway_flags, environment, tmp_path):
    done = subprocess.run(
        [BIN / "dcf-gateway", "--data-dir", tmp_path / "data", "--listen", "127.0.0.1:0", "--engine", "swarm",
         *gateway_flags],
        capture_output=True, text=True, timeout=60, env={**os.environ, **environment})
    assert done.returncode == 1, done
    return done.stderr


def test_what_is_no_swarm_is_said(swarm, tmp_path):
    listen = ("--link-listen", "127.0.0.1:0")
    assert "only managers can be asked" in fails(listen, swarm.nodes[1].environment, tmp_path)
    assert "there is no Docker engine" in fails(listen, {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}, tmp_path)
    assert "--allow-plaintext" in fails(("--link-listen", "0.0.0.0:0"), swarm.manager.environment, tmp_path)
    swarm.manager.api("POST", "/networks/create", {"Name": "open", "Driver": "overlay", "Attachable": True})
    said = fails((*listen, "--overlay", "open"), swarm.manager.environment, tmp_path)
    assert "is not encrypted" in said and "--overlay-plaintext" in said


def test_an_engine_without_a_swarm(docker, tmp_path):
    assert "docker swarm init" in fails(("--link-listen", "127.0.0.1:0"), docker.environment, tmp_path)


def test_the_overlay_is_encrypted_unless_told_otherwise(swarm, own_gateway):
    gateway = own_gateway("--swarm", "--link-listen", "127.0.0.1:0", "--overlay", "closed",
                          environment=dict(swarm.manager.environment))
    found = swarm.manager.api("GET", "/networks/closed")
    assert found["Driver"] == "overlay" and "encrypted" in found["Options"] and found["Attachable"]
    gateway.stop()


def test_a_gateway_on_the_overlay(swarm, docker, gateway_image, tmp_path):
    """A container, as docs/cluster.md says: tasks find it by its name, and their links stay on the overlay."""
    manager = swarm.manager
    swarm.share(gateway_image, docker)
    manager("network", "create", "--driver", "overlay", "--attachable", "within")
    socket_path = manager.host.removeprefix("unix://")
    manager("run", "--detach", "--name", "gateway", "--network", "within", "--publish", "32222:32222",
            "--group-add", os.stat(socket_path).st_gid, "--volume", f"{socket_path}:/var/run/docker.sock",
            gateway_image, "--swarm", "--overlay", "within", "--overlay-plaintext", "--link-listen", "0.0.0.0:32223",
            "--link-advertise", "gateway:32223")
    outside = Gateway(tmp_path / "outside")
    outside.address = f"{manager.address}:32222"
    try:
        wait_until(lambda: "listening on" in manager.log("gateway"), 30, "it listens")
        create(swarm, outside, "where", replicas=2)
        name = service(swarm)
        wait_until(lambda: swarm.running(name) == [0, 1], 10, "a task on each node")
        assert sorted(seen(outside, "where", 2)) == containers(swarm, name)
        outside.close_client()
        manager("stop", "--time", "60", "gateway")
        assert manager.inspect("gateway")["State"]["ExitCode"] == 0
        assert left(swarm) == ([], [])
    except AssertionError as error:
        raise AssertionError(f"{error}; the gateway said:\n{manager.log('gateway')[-3000:]}") from None
    finally:
        outside.close_client()
        manager.remove("gateway")
        for each in left(swarm)[0]:
            manager("service", "rm", each)


# More than one gateway before the Swarm.

@pytest.fixture
def group(swarm, host, tmp_path):
    """Gateways that serve each other's functions."""
    secret = tmp_path / "group"
    secret.write_text("0123456789abcdef0123456789abcdef\n")
    ports = []
    while len(ports) < 2:
        with socket.create_server((swarm.host_address, 0)) as free:
            ports.append(free.getsockname()[1])

    def make():
        addresses = [f"{swarm.host_address}:{port}" for port in ports]
        return [host("--group", str(secret), "--link-listen", each, "--link-advertise", ",".join(addresses))
                for each in addresses]

    yield make
    # Services outlive gateways of a group; what no test has deleted is taken away.
    for name in left(swarm)[0]:
        swarm.manager("service", "rm", name)
    for name in left(swarm)[1]:
        wait_until(lambda name=name: swarm.manager("secret", "rm", name, check=False).returncode == 0, 30, name)


def shared(gateway, name, ready=1):
    """The function at a gateway that did not deploy it, with so many replicas ready."""
    def found():
        meta = name in gateway.client.names() and gateway.client.meta(name)
        return meta and meta.Status == "Ready" and meta.AvailableReplicas >= ready and meta
    return wait_until(found, 30, f"{name} shared")


def test_gateways_of_a_group_serve_each_others_functions(swarm, group):
    first, second = group()
    create(swarm, first, "where", replicas=2)
    shared(second, "where", 2)
    assert set(seen(second, "where", 2)) == set(seen(first, "where", 2))
    assert second.client.invoke("where", b"stream") == "012"
    for command in (("scale", "where", "3"), ("delete", "where")):
        done = second.dcf("function", *command, check=False)
        assert done.returncode == 1 and "belongs to another gateway of the group" in done.error, done.error
    with Load(first, "where") as one, Load(second, "where") as other:
        first.dcf("function", "scale", "where", "3")
        shared(second, "where", 3)
        path = first.write("where", None,
                           {"handler.py": WHERE.replace('"version": 1', '"version": 2'), "Dockerfile": DOCKERFILE},
                           {"image": "test/where", "replicas": 2})
        first.dcf("function", "build", "-f", str(path), environment=swarm.manager.environment)
        swarm.share("test/where")
        first.dcf("function", "deploy", "-f", str(path), "--update", environment=swarm.manager.environment)
        wait_until(lambda: json.loads(second.client.invoke("where"))["version"] == 2, 20,
                   "the second knows the new version")
    assert one.done and other.done
    assert one.failed == [] and other.failed == []
    first.dcf("function", "delete", "where")
    wait_until(lambda: "where" not in second.client.names(), 20, "the second knows that it is gone")
    assert refused(second.client.invoke, "where").name == "NOT_FOUND"


def test_a_gateway_of_a_group_is_lost_under_load(swarm, group):
    first, second = group()
    create(swarm, first, "where", replicas=2)
    shared(second, "where", 2)
    before = containers(swarm, service(swarm))
    with Load(second, "where") as load:
        load_for(1)
        first.kill()
        load_for(2)
        first.start()
        first.wait_ready("where", 30)
        load_for(1)
        first.stop()
        load_for(1)
        first.start()
        first.wait_ready("where", 30)
    assert len(load.done) > 100 and load.failed == []
    assert containers(swarm, service(swarm)) == before, "the tasks are those that they were"
    assert set(seen(first, "where", 2)) == set(before)
    first.dcf("function", "delete", "where")


def test_a_group_without_what_it_needs(tmp_path):
    secret = tmp_path / "group"
    flags = ("--link-listen", "127.0.0.1:0", "--group", str(secret))
    both = ("--link-advertise", "127.0.0.1:1,127.0.0.1:2")
    assert "No such file" in fails((*flags, *both), {}, tmp_path)
    secret.write_text("short")
    said = fails((*flags, *both), {}, tmp_path)
    assert "has 5 bytes" in said and "openssl rand -hex 32" in said
    secret.write_text("0123456789abcdef\n")
    assert "--link-advertise must name all gateways" in fails(flags, {}, tmp_path)
    assert "is not HOST:PORT" in fails((*flags, "--link-advertise", "a:1,b"), {}, tmp_path)
