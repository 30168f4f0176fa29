"""Every limit has a test in which it bites."""
import pathlib
import re
import subprocess

import grpc
import pytest

from support.client import Client, Refused, pb, refused
from support.gateway import BIN
from support.waiting import wait_until


def test_limits_are_listed_and_each_can_be_set():
    said = subprocess.run([str(BIN / "dcf-gateway"), "--limits"], capture_output=True, text=True, timeout=30)
    assert said.returncode == 0
    for name in ("message", "metadata", "streams", "descriptors", "queue", "queued-bytes", "call-timeout",
                 "start-timeout",
                 "build-timeout", "drain", "stop", "bundle", "bundle-files", "log-line", "log-file", "log-rate",
                 "reply-bytes", "reply-bytes-per-connection", "input-bytes", "input-bytes-per-connection", "stall",
                 "connections-per-address", "h2-unacked-streams", "h2-resets", "h2-continuations", "h2-header-bytes",
                 "h2-empty-data", "h2-control"):
        assert re.search(rf"^\s*{name}\b", said.stdout, re.MULTILINE), name


@pytest.mark.parametrize("flag, named",
                         [("quue=5", "queue"), ("queue", "NAME=VALUE"), ("queue=many", "queue"), ("queue=0", "queue")])
def test_a_limit_that_is_wrong(flag, named, tmp_path):
    done = subprocess.run(
        [str(BIN / "dcf-gateway"), "--data-dir", str(tmp_path / "d"), "--limit", flag], capture_output=True, text=True,
        timeout=30)
    assert done.returncode != 0 and named in done.stderr


def statuses(calls):
    seen = []
    for call in calls:
        try:
            call.result()
            seen.append("OK")
        except grpc.RpcError as error:
            seen.append(Refused(error))
    return seen


@pytest.mark.alone
@pytest.mark.fault("C1")
def test_a_full_queue_refuses_at_once_with_pushback(own_gateway, calls):
    gateway = own_gateway("--limit", "queue=5")
    gateway.deploy("held", config=calls.config())
    running = gateway.client.begin("held", b"running")
    held = calls.next()
    waiting = [gateway.client.begin("held", b"quick") for _ in range(20)]
    # Refused while the queue is full, not when it has moved on.
    wait_until(lambda: sum(call.done() for call in waiting) == 15, 2, "15 of 20 refused")
    assert not running.done()
    seen = statuses(call for call in waiting if call.done())
    assert [s.name for s in seen] == ["RESOURCE_EXHAUSTED"] * 15
    assert all(s.executed == "no" and int(s.trailers["grpc-retry-pushback-ms"]) >= 0 for s in seen)
    held.returns()
    assert sorted(s if s == "OK" else s.name for s in statuses([running, *waiting])) == ["OK"] * 6 + [
        "RESOURCE_EXHAUSTED"] * 15
    gateway.stop()


def test_queue_in_the_config(gateway, client, calls):
    gateway.deploy("held", config=calls.config(queue=2))
    running = client.begin("held", b"running")
    held = calls.next()
    waiting = [client.begin("held", b"quick") for _ in range(6)]
    wait_until(lambda: sum(call.done() for call in waiting) == 4, 5, "4 of 6 refused")
    held.returns()
    seen = [s if s == "OK" else s.name for s in statuses([running, *waiting])]
    assert sorted(seen) == ["OK"] * 3 + ["RESOURCE_EXHAUSTED"] * 4


def test_queued_bytes(own_gateway, calls):
    gateway = own_gateway("--limit", "queued-bytes=10MiB")
    gateway.deploy("held", config=calls.config())
    gateway.deploy("echo")
    running = gateway.client.begin("held", b"running")
    held = calls.next()
    waiting = [gateway.client.begin("held", b"quick" + b"x" * (3 << 20)) for _ in range(6)]
    wait_until(lambda: sum(call.done() for call in waiting) == 3, 10, "3 of 6 refused")
    held.returns()
    refusals = [s for s in statuses(waiting) if s != "OK" and s.name == "RESOURCE_EXHAUSTED"]
    assert len(refusals) == 3 and all(s.executed == "no" for s in refusals)
    assert statuses([running]) == ["OK"]
    # What was counted is given back.
    assert len(gateway.client.invoke_bytes("echo", b"x" * (9 << 20))) == 9 << 20
    gateway.stop()


def test_message_limit(own_gateway):
    gateway = own_gateway("--limit", "message=1MiB")
    gateway.deploy("echo")
    assert len(gateway.client.invoke_bytes("echo", b"x" * ((1 << 20) - 100))) == (1 << 20) - 100
    error = refused(gateway.client.invoke_bytes, "echo", b"x" * ((1 << 20) + 1))
    assert (error.name, error.executed) == ("RESOURCE_EXHAUSTED", "no")


def test_metadata_limit(gateway, client):
    gateway.deploy("echo")
    gateway.deploy("sleeper")
    beside = client.occupy("sleeper", b"1", b"0")
    too_much = [("big", "x" * 20_000)]
    request = pb.InvokeServiceRequest(Service="echo", Input=b"x")
    for refusing in (
            lambda: client.stub.InvokeBytes(request, metadata=too_much, timeout=10),
            lambda: list(client.stub.Invokes(iter([request]), metadata=too_much, timeout=10)),
            lambda: client.stub.List(pb.Empty(), metadata=too_much, timeout=10)):
        with pytest.raises(grpc.RpcError) as caught:
            refusing()
        error = Refused(caught.value)
        assert (error.name, error.executed) == ("RESOURCE_EXHAUSTED", "no") and "8192" in error.message
    # The connection and the others' calls on it go on.
    assert statuses([beside]) == ["OK"]
    assert client.invoke("echo", b"x") == "x"


def test_call_timeout_limit(own_gateway):
    gateway = own_gateway("--limit", "call-timeout=500ms")
    gateway.deploy("sleeper")
    error = refused(gateway.client.invoke, "sleeper", b"20", timeout=30)
    assert (error.name, error.executed) == ("DEADLINE_EXCEEDED", "maybe")


def test_start_timeout_limit(own_gateway):
    gateway = own_gateway("--limit", "start-timeout=1s")
    done = gateway.deploy("slow", files={"handler.py": "import time\ntime.sleep(60)\n"}, check=False)
    assert done.returncode == 1 and "slow" not in gateway.client.names()


@pytest.mark.process
def test_timeout_build(gateway, client):
    # pip asks an index that accepts and never answers.
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        before = gateway.below()
        done = gateway.deploy("unbuilt", check=False, config={"timeout": {"build": "4s"}}, files={
            "handler.py": "def Handler(req): pass\n",
            "requirements.txt": f"--index-url http://127.0.0.1:{silent.getsockname()[1]}/simple\nno-such-4711\n"})
    assert done.returncode == 1 and "4" in done.error
    wait_until(lambda: gateway.below() <= before, 10, "pip is gone")
    assert "unbuilt" not in client.names()


@pytest.mark.process
def test_bundle_limits(own_gateway):
    gateway = own_gateway("--limit", "bundle=1MiB", "--limit", "bundle-files=10")
    done = gateway.deploy("large", files={"handler.py": "def Handler(req): pass\n", "w": b"x" * (2 << 20)}, check=False)
    assert done.returncode == 1 and "1" in done.error
    many = {f"f{n}": "x" for n in range(20)}
    done = gateway.deploy("many", files={"handler.py": "def Handler(req): pass\n", **many}, check=False)
    assert done.returncode == 1 and "10" in done.error
    assert gateway.client.names() == []


def test_streams_per_connection(own_gateway):
    gateway = own_gateway("--limit", "streams=10")
    gateway.deploy("sleeper", config={"replicas": {"min": 1, "max": 1}})
    # grpcio honours the setting and holds the rest back, so all are answered, one connection or not.
    assert statuses([gateway.client.begin("sleeper", b"0.01") for _ in range(40)]) == ["OK"] * 40
    gateway.stop()


@pytest.mark.fault("S1")
def test_another_address_needs_words(tmp_path, own_gateway):
    done = subprocess.run(
        [str(BIN / "dcf-gateway"), "--listen", "0.0.0.0:0", "--data-dir", str(tmp_path / "d")],
        capture_output=True, text=True, timeout=30)
    assert done.returncode not in (0, -6, -11, -4) and "--allow-plaintext" in done.stderr
    gateway = own_gateway("--listen", "0.0.0.0:0", "--allow-plaintext")
    assert "warning" in gateway.text().lower() and "plain" in gateway.text().lower()
    gateway.stop()


@pytest.mark.fault("S1")
def test_it_listens_on_loopback_alone(gateway):
    hexport, listening = f"{gateway.port:04X}", []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            part = line.split()
            if part[3] == "0A" and part[1].endswith(":" + hexport):
                listening.append(part[1].split(":")[0])
    assert listening == ["0100007F"]


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:-1", ":", "256.0.0.1:0"])
def test_an_address_that_is_none(tmp_path, address):
    done = subprocess.run(
        [str(BIN / "dcf-gateway"), f"--listen={address}", "--data-dir", str(tmp_path / "d")],
        capture_output=True, text=True, timeout=30)
    assert done.returncode not in (0, -4, -6, -11) and address.rpartition(":")[0] in done.stderr


def test_an_address_that_is_taken(gateway, tmp_path):
    done = subprocess.run(
        [str(BIN / "dcf-gateway"), "--listen", gateway.address, "--data-dir", str(tmp_path / "d")],
        capture_output=True, text=True, timeout=30)
    assert done.returncode not in (0, -4, -6, -11) and str(gateway.port) in done.stderr


def test_the_default_port_and_folder_are_what_help_says():
    said = subprocess.run([str(BIN / "dcf-gateway"), "--help"], capture_output=True, text=True, timeout=30).stdout
    assert "32222" in said and "--allow-plaintext" in said and "--data-dir" in said


def test_several_clients_of_their_own(gateway, client):
    gateway.deploy("echo", None, "--replace")
    clients = [Client(gateway.address) for _ in range(50)]
    assert [c.invoke("echo", b"x") for c in clients] == ["x"] * 50
    for c in clients:
        c.close()
