"""How many replicas there are: what was asked for, what the load needs, none while nobody calls."""
import threading
import time

import pytest

from support import length
from support.background import background
from support.bundles import bundle
from support.client import Client, outcome, pb, refused
from support.processes import exists, memory, threads
from support.streams import Stream, outputs
from support.waiting import stays, wait_until


def available(client, name):
    return client.meta(name).AvailableReplicas


def idle(gateway, name, seconds=20):
    """Waits until the function has no process."""
    wait_until(lambda: not gateway.replicas(name) and gateway.client.meta(name).Status == "Idle", seconds,
               f"{name} has no process")


def grow(client, calls, name, count):
    """Waits until a function of min 1 whose replicas run one call each has more of them; returns their calls."""
    begun = [client.begin(name, b"%d" % n, timeout=60) for n in range(count)]
    held = calls.take(count)
    assert len({one.pid for one in held}) == count and not any(call.done() for call in begun)
    return held


def test_replicas_follow_the_load_between_min_and_max(own_gateway, calls):
    gateway = own_gateway("--limit", "scale-down-window=2s")
    gateway.deploy("held", config=calls.config(replicas={"min": 1, "max": 3}))
    client = gateway.client
    begun = [client.begin("held", b"%d" % n, timeout=120) for n in range(6)]
    first = calls.take(3)
    assert len({one.pid for one in first}) == 3, "six calls, three replicas, each works on one"
    assert available(client, "held") == 3
    calls.nothing()
    # No more than max, however many wait; and none goes while it is needed. Meanwhile another function gets a second
    # replica, and loses it when the window is over.
    gateway.deploy("beside", "held", config=calls.config(replicas={"min": 1, "max": 2}))
    both = grow(client, calls, "beside", 2)
    for one in both:
        one.returns()
    wait_until(lambda: available(client, "beside") == 1, 20, "another function is back to min")
    assert available(client, "held") == 3
    for one in first:
        one.returns()
    rest = calls.take(3)
    assert {one.pid for one in rest} == {one.pid for one in first}
    for one in rest:
        one.returns()
    assert [outcome(call) for call in begun] == [b"done"] * 6
    wait_until(lambda: available(client, "held") == 1, 20, "back to min when the load is gone")
    call = client.begin("held", b"last")
    calls.next().returns()
    assert outcome(call) == b"done"
    gateway.stop()


def test_a_load_that_comes_and_goes_does_not_flap(own_gateway, calls):
    gateway = own_gateway("--limit", "scale-down-window=30s")
    gateway.deploy("held", config=calls.config(replicas={"min": 1, "max": 3}))
    client, seen = gateway.client, set()
    for turn in range(5):
        begun = [client.begin("held", b"%d" % n, timeout=120) for n in range(3)]
        # In the first turn this waits until there are three.
        held = calls.take(3)
        seen |= {one.pid for one in held}
        for one in held:
            one.returns()
        assert [outcome(call) for call in begun] == [b"done"] * 3
        # Nothing to do, for less than the window.
        stays(lambda: available(client, "held") == 3, 0.7, f"turn {turn}: 3 replicas")
    assert len(seen) == 3, f"{len(seen)} processes for a load that needs three now and then"
    gateway.stop()


def test_concurrency_and_batch_count_as_capacity(own_gateway, calls):
    gateway = own_gateway()
    gateway.deploy("held", config=calls.config(concurrency=4, replicas={"min": 1, "max": 3}))
    begun = [gateway.client.begin("held", b"%d" % n, timeout=60) for n in range(4)]
    held = calls.take(4)
    # Meanwhile a function that runs one call at a time gets a second replica.
    gateway.deploy("beside", "held", config=calls.config(replicas={"min": 1, "max": 2}))
    for one in grow(gateway.client, calls, "beside", 2):
        one.returns()
    assert available(gateway.client, "held") == 1, "four calls are what one replica can run"
    begun += [gateway.client.begin("held", b"more %d" % n, timeout=60) for n in range(3)]
    more = calls.take(3)
    assert {one.pid for one in more}.isdisjoint({one.pid for one in held})
    for one in held + more:
        one.returns()
    assert [outcome(call) for call in begun] == [b"done"] * 7
    gateway.stop()


def test_scale_by_hand(gateway, client):
    gateway.deploy("echo")
    gateway.dcf("function", "scale", "echo", "3")
    wait_until(lambda: available(client, "echo") == 3, 20, "3 replicas")
    client.call("ReplicaUpdate", pb.ScaleServiceRequest(ServiceName="echo", Replicas=1))
    wait_until(lambda: available(client, "echo") == 1, 20, "1 replica")
    assert client.invoke("echo", b"x") == "x"
    for count in ("-1", "x", "100000", "3..2", "1..", "0..0"):
        done = gateway.dcf("function", "scale", "echo", count, check=False)
        assert done.returncode != 0 and done.error.strip(), f"scale {count} was taken"
    assert available(client, "echo") == 1
    # A range: from now on the number follows the load.
    gateway.dcf("function", "scale", "echo", "2..4")
    wait_until(lambda: available(client, "echo") == 2, 20, "2 replicas")
    assert (client.meta("echo").MinReplicas, client.meta("echo").MaxReplicas) == (2, 4)


def test_calls_go_on_while_it_is_scaled(gateway, client):
    gateway.deploy("sleeper", config={"replicas": {"min": 2, "max": 2}})
    stop = threading.Event()

    def load():
        count = 0
        while not stop.is_set():
            assert client.invoke("sleeper", b"0.005", timeout=30) == "awake"
            count += 1
        return count

    callers = [background(load) for _ in range(8)]
    for count in (4, 1, 3, 1):
        client.call("ReplicaUpdate", pb.ScaleServiceRequest(ServiceName="sleeper", Replicas=count), 60)
        wait_until(lambda count=count: available(client, "sleeper") == count, 30, f"{count} replicas")
    stop.set()
    assert sum(caller.result(30) for caller in callers) > 20


COUNTED = """
import os, time
class Handler:
    def __init__(self, parameters):
        with open(parameters["file"], "a") as out:
            out.write("made %d\\n" % os.getpid())
        time.sleep(float(parameters.get("seconds", 0)))
    def __call__(self, req):
        return req.input
"""


def cold(gateway, name, tmp_path, seconds=0, idle_after="300ms", **config):
    """A function of min 0 that has stopped; returns the file that counts its constructions, empty again."""
    made = tmp_path / f"{name}-made"
    gateway.deploy(name, files={"handler.py": COUNTED}, config={
        "parameters": {"file": str(made), "seconds": seconds}, "replicas": {"min": 0, "max": 1},
        "timeout": {"idle": idle_after}, **config})
    idle(gateway, name)
    made.write_text("")
    return made


def test_an_idle_function_stops_and_the_next_call_starts_it(gateway, client, tmp_path):
    made = cold(gateway, "cold", tmp_path, idle_after="2s")
    before = gateway.below()
    for _ in range(2):
        assert client.invoke("cold", b"wake up", timeout=20) == "wake up"
        assert len(gateway.replicas("cold")) == 1
        idle(gateway, "cold")
    assert len(made.read_text().splitlines()) == 2
    wait_until(lambda: gateway.below() <= before, 10, "its process is gone")
    row = next(line for line in gateway.dcf("function", "list").text.splitlines() if line.startswith("cold"))
    assert "Idle" in row, row


def test_it_does_not_stop_while_it_works(gateway, client, calls, tmp_path):
    gateway.deploy("held", config=calls.config(replicas={"min": 0, "max": 1}, timeout={"idle": "300ms"}))
    call = client.begin("held", b"long")
    held = calls.next()
    # Meanwhile a function without calls stops.
    cold(gateway, "cold-beside", tmp_path)
    assert exists(held.pid), "stopped with a call in it"
    held.returns()
    assert outcome(call) == b"done"
    idle(gateway, "held")


@pytest.mark.alone
@pytest.mark.fault("C2")
def test_500_callers_of_a_cold_function_start_it_once(gateway, tmp_path):
    made = cold(gateway, "cold-many", tmp_path, seconds=0.5, idle_after="2s")
    clients = [Client(gateway.address) for _ in range(6)]
    for client in clients:
        assert client.call("HealthCheck", pb.Empty()).Msg
    begun = [clients[n % 6].begin("cold-many", b"%d" % n, timeout=60) for n in range(500)]
    got = [outcome(call) for call in begun]
    assert got == [b"%d" % n for n in range(500)]
    assert len(made.read_text().splitlines()) == 1, f"{made.read_text()} for 500 callers"
    for client in clients:
        client.close()


@pytest.mark.alone
def test_each_caller_of_a_cold_function_waits_up_to_its_own_deadline(gateway, client, tmp_path):
    made = cold(gateway, "cold-slow", tmp_path, seconds=2.5)
    began = time.monotonic()
    short = [client.begin("cold-slow", b"short", timeout=0.6) for _ in range(3)]
    long = client.begin("cold-slow", b"long", timeout=30)
    for call in short:
        error = outcome(call)
        assert error.name == "DEADLINE_EXCEEDED" and error.executed in ("no", None), error
    assert time.monotonic() - began < 2
    assert outcome(long) == b"long"
    assert len(made.read_text().splitlines()) == 1


def test_a_cold_start_whose_caller_has_gone_is_no_harm(gateway, client, tmp_path):
    cold(gateway, "cold-left", tmp_path, seconds=0.5)
    call = client.begin("cold-left", b"left")
    wait_until(lambda: gateway.replicas("cold-left"), 10, "it starts")
    call.cancel()
    assert client.invoke("cold-left", b"next", timeout=20) == "next"
    idle(gateway, "cold-left")


def test_a_cold_function_that_cannot_start_any_more(gateway, client, tmp_path):
    flag = tmp_path / "flag"
    gateway.deploy("flag", config={
        "parameters": {"flag": str(flag)}, "replicas": {"min": 0, "max": 1},
        "timeout": {"idle": "300ms", "call": "5s"}})
    idle(gateway, "flag")
    flag.touch()
    error = refused(client.invoke, "flag", timeout=60)
    assert (error.name, error.executed) == ("DEADLINE_EXCEEDED", "no") and "bad weights" in error.message, error
    # Nobody waits for it any more: it is not tried without end.
    idle(gateway, "flag")
    waiting = client.begin("flag", timeout=60)
    shown = wait_until(lambda: (f := client.meta("flag")).Status == "Degraded" and f.Reason and f, 20, "it is tried")
    assert "bad weights" in shown.Reason
    flag.unlink()
    outcome(waiting)
    gateway.dcf("function", "restart", "flag")
    assert client.invoke("flag", timeout=30)


def test_min_0_over_a_restart_of_the_gateway(own_gateway, tmp_path):
    gateway = own_gateway()
    made = cold(gateway, "cold", tmp_path)
    gateway.kill()
    gateway.start()
    assert gateway.client.invoke("cold", b"x", timeout=20) == "x"
    assert len(made.read_text().splitlines()) <= 2
    idle(gateway, "cold")
    gateway.stop()


def test_an_update_and_a_delete_of_a_cold_function(gateway, client, tmp_path):
    cold(gateway, "cold-changed", tmp_path)
    path = gateway.write("cold-changed", files={"handler.py": "def Handler(req):\n    return 'two'\n"}, config={
        "replicas": {"min": 0, "max": 1}, "timeout": {"idle": "300ms"}})
    gateway.dcf("function", "create", "-f", str(path), "--update")
    assert client.invoke("cold-changed", timeout=20) == "two"
    idle(gateway, "cold-changed")
    gateway.delete("cold-changed")
    assert refused(client.invoke, "cold-changed").name == "NOT_FOUND"


def test_the_limit_idle(own_gateway, calls):
    gateway = own_gateway("--limit", "idle=1s")
    gateway.deploy("held", config=calls.config(replicas={"min": 0, "max": 1}))
    idle(gateway, "held")
    gateway.stop()


def test_a_stream_over_a_cold_function(gateway, client, tmp_path):
    cold(gateway, "cold-stream", tmp_path)
    with Stream(client) as stream:
        for n in range(3):
            stream.send("cold-stream", b"%d" % n)
        messages, error = stream.done_sending().rest()
    assert error is None and outputs(messages) == [[b"0"], [b"1"], [b"2"]]


@pytest.mark.alone
@pytest.mark.process
def test_many_registered_functions_cost_little(own_gateway):
    """Registered with min 0 and never called: no process, no thread, little memory each."""
    gateway = own_gateway("--limit", "idle=200ms")
    gateway.deploy("echo")
    gateway.client.invoke("echo", b"x")
    data = bundle({"handler.py": "class Handler:\n    def __call__(self, req):\n        return req.input\n"})
    count = length(60, 1000)
    gateway.client.deploy_watch("first", data, config="runtime: python3\nreplicas: {min: 0, max: 1}\n")
    before, running = memory(gateway.pid), len(threads(gateway.pid))
    for n in range(count):
        gateway.client.deploy_watch(f"f{n}", data, config="runtime: python3\nreplicas: {min: 0, max: 1}\n")
    idle(gateway, f"f{count - 1}", 60)
    wait_until(lambda: len(gateway.below()) == 1, 60, "only echo runs")
    assert len(threads(gateway.pid)) <= running + 8
    assert memory(gateway.pid) - before < (8 << 20) + count * (64 << 10), (
        "a registered function that nobody calls costs memory")
    assert gateway.client.invoke(f"f{count // 2}", b"x", timeout=20) == "x"
    gateway.stop()
