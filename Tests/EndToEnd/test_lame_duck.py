"""A gateway that is told to stop gives its callers the time to go elsewhere: the limit lame-duck."""
import shutil
import socket
import threading
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2

from support import length
from support.balancers import HAProxy, Nginx
from support.client import Client, Refused
from support.health import watch
from support.ledger import Ledger, Load
from support.ports import free_port
from support.waiting import wait_until

pytestmark = [pytest.mark.process, pytest.mark.alone]


@pytest.fixture
def duck(own_gateway):
    gateway = own_gateway("--limit", "lame-duck=3s")
    gateway.deploy("echo")
    return gateway


def healths(client, name=""):
    """What health's Watch says, one after another; ends with the gateway."""
    said = []

    def follow():
        try:
            for reply in watch(client, name, timeout=None):
                said.append(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))
        except grpc.RpcError:
            pass

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    wait_until(lambda: said, 10, "health says something")
    return said, thread


def test_calls_are_served_while_health_says_not_serving(duck):
    with Client(duck.address) as client:
        (all_of_it, one), (of_echo, other) = healths(client), healths(client, "echo")
        assert (all_of_it, of_echo) == (["SERVING"], ["SERVING"])
        duck.process.terminate()
        wait_until(lambda: len(all_of_it) == len(of_echo) == 2, 2, "health tells")
        assert (all_of_it[1], of_echo[1]) == ("NOT_SERVING", "NOT_SERVING")
        # On the connection that is there, and on a new one.
        assert client.invoke_bytes("echo", b"old") == b"old"
        with Client(duck.address) as late:
            assert late.invoke_bytes("echo", b"new") == b"new"
        assert duck.process.wait(10) == 0
        one.join(5), other.join(5)
        assert len(all_of_it) == len(of_echo) == 2


def test_health_of_the_gateway_is_asked_without_a_message(duck):
    """As HAProxy does: it cannot send the zero bytes that begin a message."""
    check = duck.client.channel.stream_unary(
        "/grpc.health.v1.Health/Check", response_deserializer=health_pb2.HealthCheckResponse.FromString)
    assert check(iter(())).status == health_pb2.HealthCheckResponse.SERVING


def test_without_it_new_calls_are_refused_at_once(own_gateway):
    gateway = own_gateway()
    gateway.deploy("sleeper")
    call = gateway.client.occupy("sleeper", b"2", b"0")
    gateway.process.terminate()
    with Client(gateway.address) as late:
        def refused():
            try:
                late.invoke_bytes("sleeper", b"0", timeout=1)
            except Refused as error:
                return error.name == "UNAVAILABLE"
        wait_until(refused, 2, "nothing new is taken")
    assert call.result(10)
    assert gateway.process.wait(10) == 0


def test_a_connection_that_comes_late_is_refused_by_the_kernel(duck):
    """Not taken and then forgotten: a client that is refused at once can go elsewhere."""
    call = duck.client.begin("echo", b"x")
    assert call.result(10)
    host, port = duck.address.rsplit(":", 1)
    duck.process.terminate()

    def refused():
        with socket.socket() as late:
            late.settimeout(5)
            return late.connect_ex((host, int(port))) != 0
    wait_until(refused, 10, "the listener is closed")
    assert duck.process.wait(10) == 0


def test_a_second_signal_does_not_wait(duck):
    said, _ = healths(duck.client)
    duck.process.terminate()
    wait_until(lambda: len(said) == 2, 2, "health tells")
    began = time.monotonic()
    duck.process.terminate()
    duck.process.wait(5)
    assert time.monotonic() - began < 2


def test_zero_and_what_is_not_a_time(own_gateway):
    gateway = own_gateway("--limit", "lame-duck=0s")
    gateway.stop()
    wrong = own_gateway("--limit", "lame-duck=soon", start=False)
    with pytest.raises(AssertionError, match='limit lame-duck: "soon" is not like 0s'):
        wrong.start()


@pytest.mark.fault("F1")
@pytest.mark.parametrize("kind", [HAProxy, Nginx])
def test_a_rolling_restart_behind_a_balancer_loses_no_call(own_gateway, tmp_path, kind):
    program = kind.__name__.lower()
    if not shutil.which(program) and not shutil.which(program, path="/usr/sbin"):
        pytest.skip(f"{program} is not installed: scripts/install-dependencies.sh test")
    ports = [free_port() for _ in range(3)]
    ledger = Ledger(tmp_path / "ledger")
    gateways = []
    for port in ports:
        gateway = own_gateway("--listen", f"127.0.0.1:{port}", "--limit", "lame-duck=3s")
        gateway.deploy("work", "ledger", config={"parameters": {"ledger": str(ledger.path)}})
        gateways.append(gateway)
    with (kind(tmp_path / "balancer", ports) as balancer,
          Load(balancer.address, ledger, ["work"], in_flight=16, milliseconds=5) as load):
        for _ in range(length(1, 5)):
            for number, gateway in enumerate(gateways):
                before = len(ledger.statuses)
                wait_until(lambda before=before: len(ledger.statuses) > before + 100, 30, "load")
                gateway.stop()
                gateway.start()
                gateway.wait_ready("work", 30)
                wait_until(lambda number=number: balancer.sees(number, True), 20, "the balancer uses it again")
        before = len(ledger.statuses)
        wait_until(lambda: len(ledger.statuses) > before + 100, 30, "load")
        load.stop()
    lost = {i: s for i, s in ledger.statuses.items() if s[0] != "OK"}
    assert not lost, (
        f"{len(lost)} of {len(ledger.statuses)} calls failed: {list(lost.values())[:3]}\n{balancer.text()[-2000:]}")
    ledger.check()
    # Every gateway had its part.
    assert all(gateway.client.meta("work").InvocationCount > 10 for gateway in gateways)
