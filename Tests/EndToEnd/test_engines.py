"""Engines that are stopped, killed and started again under functions, on Docker's ordinary bridge network, with
live-restore and without. The engine is the tests' own, in a network namespace of its own."""
import os
import threading

import pytest

from conftest import skipping
from support import FULL
from support.docker import Docker
from support.waiting import wait_until

# Each of them starts an engine several times.
pytestmark = pytest.mark.skipif(not FULL, reason="minutes of engines that start: DCF_TEST_FULL=1")
LABEL = "io.dcf.gateway"
#: What the engine says of a container that it has begun to take away.
STUCK = "failed to remove root filesystem"

#: Says which of its objects answers.
COUNTED = """
import uuid

class Handler:
    def __init__(self):
        self.made = uuid.uuid4().hex

    def __call__(self, req):
        print("called", req.input.decode(), flush=True)
        return self.made
"""


class BridgedDocker(Docker):
    """With the network that Docker makes by itself."""

    through = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    flags = ()

    def become(self, *flags):
        """Started anew with these flags."""
        self.halt()
        self.flags = flags
        skipping(self.launch)


@pytest.fixture(scope="module")
def bridged():
    if "DCF_TEST_DOCKER_HOST" in os.environ:
        pytest.skip("the engine is not the tests' own")
    engine = BridgedDocker()
    try:
        skipping(engine.start)
        skipping(engine.debian)
        engine.watcher()
        yield engine
    finally:
        if engine.process:
            for each in containers(engine):
                engine.remove(each)
        engine.stop()


@pytest.fixture
def gateway(bridged, own_gateway):
    made = own_gateway("--engine", "docker", environment=bridged.environment)
    yield made
    made.end()
    assert containers(bridged) == [], "containers are left behind"


def containers(engine):
    """The functions' containers, without those that the engine cannot take away: an engine that ends during its work
    leaves mounts that are busy until it starts again."""
    found = engine("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={LABEL}").stdout.split()
    return [each for each in found
            if STUCK not in engine("inspect", "--format", "{{.State.Error}}", each, check=False).stdout]


def create(gateway, engine, name, **config):
    path = gateway.write(name, None, {"handler.py": COUNTED, "Dockerfile": Docker.FUNCTION},
                         {"image": "test/counted", **config})
    gateway.dcf("function", "create", "-f", str(path), environment=engine.environment)


class Callers:
    """Calls functions again and again, and notes what is not answered."""

    def __init__(self, gateway, *names):
        self.gateway, self.names, self.failed, self.done = gateway, names, [], 0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopped.is_set():
            for name in self.names:
                try:
                    self.gateway.client.invoke(name, b"x")
                    self.done += 1
                except Exception as error:  # noqa: BLE001
                    self.failed.append(error)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()


def test_an_engine_that_is_started_anew_costs_no_function(bridged, gateway):
    """What it answers while it stops is its own trouble, and nobody's death."""
    replicas = {"one": 1, "two": 2, "three": 1}
    for name, count in replicas.items():
        create(gateway, bridged, name, replicas=count)
    for _ in range(6 if FULL else 2):
        bridged.halt()
        wait_until(lambda: all(gateway.client.meta(name).AvailableReplicas == 0 for name in replicas), 30,
                   "all are missed")
        bridged.launch()
        wait_until(lambda: all(gateway.client.meta(name).Status == "Ready" for name in replicas), 30, "all are whole")
        for name in replicas:
            assert gateway.client.invoke(name, b"x")
    for name in replicas:
        assert "given up" not in gateway.client.log(name)
    wait_until(lambda: len(containers(bridged)) == 4, 20, "no more containers than replicas")


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_live_restore_costs_no_call_and_no_model(bridged, gateway, how):
    bridged.become("--live-restore")
    try:
        create(gateway, bridged, "live", replicas=2)
        before, objects = set(containers(bridged)), gateway.client.each_replica("live", 2, b"x")
        with Callers(gateway, "live") as callers:
            (bridged.halt if how == "stopped" else bridged.crash)()
            calls = callers.done
            wait_until(lambda: callers.done > calls + 20, 20, "calls go on without the engine")
            bridged.launch()
            calls = callers.done
            wait_until(lambda: callers.done > calls + 20, 20, "and with it")
        assert callers.failed == []
        assert set(containers(bridged)) == before and gateway.client.each_replica("live", 2, b"x") == objects
        text = wait_until(
            lambda: gateway.client.log("live") if "the Docker engine was away" in gateway.client.log("live")
            else None, 10, "the gap is said")
        assert "is lost, if there was any" in text
        gateway.client.invoke("live", b"after-all")
        wait_until(lambda: "called after-all" in gateway.client.log("live"), 10, "its output is read again")
        # The engine is asked again how it ends.
        victim = sorted(before)[0]
        bridged("kill", victim)
        wait_until(lambda: victim not in containers(bridged) and len(containers(bridged)) == 2, 20,
                   "another takes its place")
        gateway.delete("live")
    finally:
        bridged.become()


def test_an_engine_that_is_killed_takes_nothing_that_it_did_not_kill(bridged, gateway):
    """Its containers go on until it is there again, and it ends them then."""
    create(gateway, bridged, "killed")
    with Callers(gateway, "killed") as callers:
        bridged.crash()
        calls = callers.done
        wait_until(lambda: callers.done > calls + 20, 20, "calls go on without the engine")
        assert callers.failed == []
        assert gateway.client.meta("killed").Status == "Ready"
        bridged.launch()
    gateway.wait_ready("killed", 30)
    assert gateway.client.invoke("killed", b"x")
    wait_until(lambda: len(containers(bridged)) == 1, 20, "one container")
