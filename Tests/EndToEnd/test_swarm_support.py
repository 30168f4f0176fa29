"""The tests' own Swarm: two nodes, a service that is spread over them, and a node that is lost."""
import pathlib
import socket
import subprocess

import pytest

from conftest import skipping
from support import FULL
from support.swarm import Swarm
from support.waiting import wait_until

# The tests of test_swarm.py show it, too: they do not pass on a Swarm that does not work.
pytestmark = pytest.mark.skipif(not FULL, reason="two engines for the tests' own Swarm: DCF_TEST_FULL=1")

#: Answers with its task's name, to whoever connects.
SERVER = """
import os, socket
server = socket.create_server(("0.0.0.0", 7000))
while True:
    client, _ = server.accept()
    client.sendall(os.environ["TASK"].encode())
    client.close()
"""

#: Says what each address of the names given says, or why it says nothing. Each is HOST:PORT=N: waits until N addresses
#: answer, as a node hears of the tasks of others, and a task listens, a moment after it runs.
CLIENT = """
import socket, sys, time

def said(host, port):
    found = sorted({each[4][0] for each in socket.getaddrinfo(host, port, socket.AF_INET)})
    return [socket.create_connection((each, int(port)), 5).makefile().read() for each in found]

for each in sys.argv[1:]:
    name, count = each.split("=")
    until = time.monotonic() + 20
    while True:
        try:
            lines = said(*name.rsplit(":", 1))
        except OSError as error:
            lines = []
            if time.monotonic() > until:
                lines = [f"{name} {error}"]
        if len(lines) >= int(count) or time.monotonic() > until:
            break
        time.sleep(0.1)
    print(*lines, sep="\\n")
"""


@pytest.fixture(scope="module")
def swarm():
    made = Swarm(2, gpus={1: ("GPU-a", "GPU-b")})
    skipping(made.start)
    folder, name = made.folder, made.name
    try:
        skipping(made.manager.debian)
        made.image = made.share("dcf-test/bookworm")
        yield made
    finally:
        made.stop()
    assert not folder.exists()
    assert name not in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    assert str(folder) not in pathlib.Path("/proc/mounts").read_text()


def service(image, name, network, replicas=2, code=SERVER, reservations=None, **template):
    return {
        "Name": name,
        "TaskTemplate": {
            "ContainerSpec": {"Image": image, "Command": ["python3", "-c", code], "Env": ["TASK={{.Task.Name}}"],
                              "User": "65534:65534", "ReadOnly": True, "CapabilityDrop": ["ALL"],
                              "StopGracePeriod": 10**9},
            "Resources": {"Reservations": reservations or {}},
            "RestartPolicy": {"Condition": "any", "Delay": 10**8},
            "Networks": [{"Target": network}], **template},
        "Mode": {"Replicated": {"Replicas": replicas}},
        "EndpointSpec": {"Mode": "dnsrr"},
    }


def test_a_service_is_spread_over_the_nodes_and_comes_back_when_one_is_lost(swarm):
    manager = swarm.manager
    network = manager.api("POST", "/networks/create",
                          {"Name": "overlay", "Driver": "overlay", "Attachable": True})["Id"]
    manager.api("POST", "/services/create", service(swarm.image, "spread", network))
    wait_until(lambda: swarm.running("spread") == [0, 1], 60, "a task on each node")

    # Over the overlay, both ways, and to this machine.
    listening = socket.create_server((swarm.host_address, 0))
    here = f"{swarm.host_address}:{listening.getsockname()[1]}"
    for node in swarm.nodes:
        container = node("ps", "--quiet", "--filter", "label=com.docker.swarm.service.name=spread").stdout.strip()
        asked = subprocess.Popen(
            ["docker", "exec", container, "python3", "-c", CLIENT, "tasks.spread:7000=2", f"{here}=1"],
            stdout=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin", **node.environment})
        connection, address = listening.accept()
        connection.sendall(b"this machine")
        connection.close()
        said = asked.communicate(timeout=30)[0].splitlines()
        assert sorted(each.rsplit(".", 1)[0] for each in said[:2]) == ["spread.1", "spread.2"], said
        assert said[2:] == ["this machine"]
        assert address[0] == node.address

    swarm.kill_node(1)
    wait_until(lambda: swarm.state(1) == "down", 60, "the manager notices")
    wait_until(lambda: swarm.running("spread") == [0, 0], 60, "both tasks on the node that is left")

    swarm.restart_node(1)
    manager.api("DELETE", "/services/spread")
    manager.api("POST", "/services/create", service(swarm.image, "again", network))
    wait_until(lambda: swarm.running("again") == [0, 1], 60, "a task on each node, again")


def test_a_generic_resource_places_a_task(swarm):
    network = swarm.manager.api("POST", "/networks/create", {"Name": "placed", "Driver": "overlay"})["Id"]
    swarm.manager.api("POST", "/services/create", service(
        swarm.image, "placed", network, replicas=3,
        reservations={"GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}}]}))
    wait_until(lambda: swarm.running("placed") == [1, 1], 60, "two tasks where the devices are")
    assert "no suitable node" in [each["Status"].get("Err", "") for each in swarm.tasks("placed")
                                  if each["Status"]["State"] == "pending"][0]
