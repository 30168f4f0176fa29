"""A deadline holds to the end: the caller is answered, the handler's stack is in the log, a replacement works."""
import statistics
import threading
import time

import pytest

from support import length
from support.client import Client, Refused, outcome, refused
from support.processes import exists, real
from support.waiting import pause, wait_until

pytestmark = pytest.mark.alone

#: The promise: how long after the deadline the answer may come.
LATE_SECONDS = 0.1
#: And how long after the deadline the replacement is Ready.
REPLACED_SECONDS = 1.0
#: An engine takes most of a second to start any container.
CONTAINER_SECONDS = 3.0


def test_a_handler_sees_its_deadline(gateway, client, calls):
    gateway.deploy("held", config=calls.config(timeout={"call": "20s"}))
    call = client.begin("held", b"own", timeout=5)
    held = calls.next()
    assert 3 < held.eval("req.remaining()") <= 5.2
    assert abs(held.eval("req.deadline - time.monotonic() - req.remaining()")) < 0.01
    first = held.eval("req.remaining()")
    assert held.eval("req.remaining()") < first
    held.returns()
    assert outcome(call) == b"done"
    # Without an earlier one of its own, the config's.
    call = client.begin("held", b"configured", timeout=None)
    held = calls.next()
    assert 15 < held.eval("req.remaining()") <= 20
    held.returns()
    assert outcome(call) == b"done"


def test_the_wait_in_the_queue_counts(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config())
    first = client.begin("held", b"first")
    running = calls.next()
    second = client.begin("held", b"second", timeout=20)
    calls.nothing(0.5)
    running.returns()
    held = calls.next()
    # The client rounds up what it sends of its deadline, by a hundredth at most.
    assert held.eval("req.remaining()") <= 20.2 - 0.5
    held.returns()
    assert [outcome(first), outcome(second)] == [b"done", b"done"]


@pytest.mark.fault("B1")
@pytest.mark.parametrize("how", [
    "sleeps_for_ever", "spins_for_ever", "swallows_everything", "holds_the_gil_in_a_system_call",
    "holds_the_gil_in_a_loop"])
def test_a_handler_that_overruns(gateway, client, how):
    gateway.deploy("stuck", None, "--replace", config={"timeout": {"call": "500ms"}})
    late, replaced, stuck = [], [], []
    for _ in range(length(5, 20)):
        pid = real(client.invoke("stuck", timeout=5))
        began = time.monotonic()
        # The deadline is the config's: the client's own library would answer an own one by itself.
        error = refused(client.invoke_bytes, "stuck", how.encode(), timeout=30)
        late.append(time.monotonic() - began - 0.5)
        assert (error.name, error.executed) == ("DEADLINE_EXCEEDED", "maybe"), error

        def answered_by_another(pid=pid):
            try:
                return real(client.invoke("stuck", timeout=5)) != pid
            except Refused as refusal:
                assert refusal.name == "DEADLINE_EXCEEDED", f"while the replacement starts: {refusal}"

        wait_until(answered_by_another, 10, f"{how}: a replacement answers", every=0.005)
        replaced.append(time.monotonic() - began - 0.5)
        stuck.append(pid)
    wait_until(lambda: not [pid for pid in stuck if exists(pid)], 5,
               f"{how}: the stuck watchers {stuck} are ended after their grace")
    assert min(late) >= -0.005, f"{how}: answered {-min(late):.3f} s before the deadline"
    assert statistics.median(late) <= LATE_SECONDS, f"{how}: answered {late} s after the deadline"
    limit = CONTAINER_SECONDS if gateway.docker else REPLACED_SECONDS
    assert statistics.median(replaced) <= limit, f"{how}: the replacement answered {replaced} s after the deadline"
    log = wait_until(
        lambda: f"in {how}" in (text := client.log("stuck")) and text, 5,
        f"the stack, down to {how}, in the function's log")
    assert "handler.py" in log
    assert client.meta("stuck").Status == "Ready", "a handler that overruns is no reason for Failed"


@pytest.mark.fault("B1")
def test_what_waits_is_run_by_the_replacement(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config(timeout={"call": "6s"}))
    stuck = client.begin("held", b"stuck")
    first = calls.next()
    first.stuck("time.sleep(1e6)")
    # Those that come later have time left when it is stuck.
    calls.nothing(3)
    waiting = [client.begin("held", b"waits") for _ in range(5)]
    assert outcome(stuck).name == "DEADLINE_EXCEEDED"
    for _ in waiting:
        held = calls.next()
        assert held.pid != first.pid
        held.returns()
    assert [outcome(w) for w in waiting] == [b"done"] * 5


@pytest.mark.fault("B1")
def test_a_stuck_watcher_that_others_share_is_ended_when_they_are_done(own_gateway, calls):
    gateway = own_gateway("--limit", "overrun-grace=300ms")
    client = gateway.client
    gateway.deploy("held", config=calls.config(concurrency=2, timeout={"call": "8s"}))
    gateway.deploy("alone", "held", config=calls.config(timeout={"call": "300ms"}))
    stuck = client.begin("held", b"stuck")
    other = calls.next()
    other.stuck("time.sleep(1e6)")
    calls.nothing(4)
    good = client.begin("held", b"good")
    shared = calls.next()
    assert other.pid == shared.pid
    assert outcome(stuck).name == "DEADLINE_EXCEEDED"
    # New calls go to the replacement, and none to the stuck watcher.
    wait_until(lambda: "gets no more" in client.log("held"), 5, "it is closed")
    late = client.begin("held", b"late")
    held = calls.next()
    assert held.pid != shared.pid
    held.returns()
    assert outcome(late) == b"done"
    # Another watcher, which gets stuck later and has no other call, is ended after the grace. So the grace of the
    # shared watcher is over too, and it lives for the good call's sake.
    unshared = client.begin("alone", b"stuck")
    alone = calls.next()
    assert outcome(unshared).name == "DEADLINE_EXCEEDED"
    wait_until(lambda: not exists(alone.pid), 5, "a stuck watcher without other calls is ended")
    assert exists(shared.pid), "a watcher was ended while another call ran in it"
    shared.returns(b"finished")
    assert outcome(good) == b"finished"
    wait_until(lambda: not exists(shared.pid), 5, "the stuck watcher is ended when the others are done")
    gateway.stop()


@pytest.mark.fault("B1")
def test_a_stuck_watcher_that_others_share_is_ended_when_they_are_out_of_time(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config(concurrency=2, timeout={"call": "3s"}))
    one = client.begin("held", b"one")
    quick = calls.next()
    quick.stuck("time.sleep(1e6)")
    calls.nothing(1.5)
    two = client.begin("held", b"two")
    slow = calls.next()
    assert slow.pid == quick.pid
    slow.stuck("time.sleep(1e6)")
    assert outcome(one).name == "DEADLINE_EXCEEDED"
    assert exists(slow.pid)
    assert outcome(two).name == "DEADLINE_EXCEEDED"
    wait_until(lambda: not exists(slow.pid), 5, "ended when the last of its calls is out of time")


@pytest.mark.fault("H2")
@pytest.mark.parametrize("kind, more",
                         [("Handler", {"concurrency": 2}), ("Async", {"concurrency": 2}), ("Handler", {})])
def test_a_callers_short_deadline_costs_only_that_caller(gateway, client, calls, kind, more):
    """The handler is not stuck before timeout.call is over: its replica stays, and so do all the others' calls."""
    gateway.deploy("held", None, "--replace", config=calls.config(kind, **more))
    impatient = client.begin("held", b"impatient", timeout=0.5)
    left = calls.next()
    assert outcome(impatient).name == "DEADLINE_EXCEEDED"
    patient = client.begin("held", b"patient")
    held = calls.next() if more else None
    # Well beyond what a replica that overran its caller's time was once allowed.
    calls.nothing(0.5)
    if kind == "Handler":
        left.returns()
    held = held or calls.next()
    assert held.pid == left.pid
    held.returns()
    assert outcome(patient) == b"done"
    instances = client.meta("held").Instances
    assert [(one.State, one.Restarts) for one in instances] == [("Ready", 0)]


@pytest.mark.fault("H2")
def test_one_impatient_caller_among_patient_ones(gateway, client):
    """The handler takes twice as long as one caller waits."""
    gateway.deploy("slow",
                   files={"handler.py": "import time\ndef Handler(req):\n    time.sleep(1)\n    return 'fine'\n"},
                   config={"concurrency": 16, "replicas": 2})
    before = gateway.replicas("slow")
    ended = {"patient": [], "impatient": []}

    def caller(kind, times, timeout, between):
        with Client(gateway.address) as own:
            for _ in range(times):
                ended[kind].append(outcome(own.begin("slow", b"", timeout=timeout)))
                pause(between)

    rounds = length(5, 25)
    callers = [threading.Thread(target=caller, args=("patient", rounds, 60, 0)) for _ in range(4)]
    callers.append(threading.Thread(target=caller, args=("impatient", rounds, 0.5, 0.5)))
    for one in callers:
        one.start()
    for one in callers:
        one.join()
    assert ended["patient"] == [b"fine"] * 4 * rounds
    assert [error.name for error in ended["impatient"]] == ["DEADLINE_EXCEEDED"] * rounds
    assert gateway.replicas("slow") == before and client.meta("slow").Status == "Ready"


def test_a_handler_that_goes_on_after_its_caller_has_left(gateway, client, calls):
    """It is no more stuck than others before timeout.call is over, and then as much as they."""
    gateway.deploy("held", None, "--replace", config=calls.config(timeout={"call": "2s"}))
    call = client.begin("held", b"left")
    held = calls.next()
    held.stuck("time.sleep(1e6)")
    before = client.log("held").count("gets no more")
    call.cancel()
    calls.nothing(0.5)
    assert client.log("held").count("gets no more") == before and gateway.replicas("held") == [held.pid]
    wait_until(lambda: client.log("held").count("gets no more") > before, 10, "it is closed")
    wait_until(lambda: not exists(held.pid), 10, "the stuck watcher is ended")
    gateway.wait_ready("held")


def test_an_async_handler_that_awaits_for_ever_is_ended_alone(gateway, client, calls):
    """The loop still turns, so the one task is ended and its process goes on."""
    gateway.deploy("held", None, "--replace", config=calls.config("Async", concurrency=2, timeout={"call": "1s"}))
    # A loop that does not get the processor for a tenth of a second is taken for one that is stuck: three tries.
    for _ in range(3):
        bad = client.begin("held", b"bad", timeout=30)
        held = calls.next()
        held.awaits("asyncio.sleep(1e6)")
        good = client.begin("held", b"good")
        other = calls.next()
        other.returns()
        assert outcome(good) == b"done"
        assert outcome(bad).name == "DEADLINE_EXCEEDED"
        assert held.heard()["raised"] == "CancelledError"
        following = client.begin("held", b"next", timeout=30)
        after = calls.next()
        after.returns()
        assert outcome(following) == b"done"
        if after.pid == held.pid == other.pid:
            break
    assert after.pid == held.pid == other.pid
    wait_until(lambda: "in obey_async" in client.log("held"), 5, "where it stood is in the log")


def test_a_handler_that_keeps_its_deadline_keeps_its_process(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config())
    for _ in range(3):
        call = client.begin("held", b"in time", timeout=0.5)
        held = calls.next()
        # It notices by itself, a moment after its deadline.
        held.returns_value_of("time.sleep(req.remaining() + 0.2) or b'late'")
        assert outcome(call).name == "DEADLINE_EXCEEDED"
    assert gateway.replicas("held") == [held.pid]


def test_the_limit_overrun_grace(own_gateway, calls):
    gateway = own_gateway("--limit", "overrun-grace=4s")
    gateway.deploy("held", config=calls.config(timeout={"call": "500ms"}))
    call = gateway.client.begin("held", b"stuck")
    held = calls.next()
    held.stuck("time.sleep(1e6)")
    assert outcome(call).name == "DEADLINE_EXCEEDED"
    began = time.monotonic()
    wait_until(lambda: not exists(held.pid), 15, "ended after the grace")
    assert 3 < time.monotonic() - began < 10
    gateway.stop()


def test_a_call_without_a_deadline_has_the_gateways(own_gateway, calls):
    gateway = own_gateway("--limit", "call-timeout=7s")
    gateway.deploy("held", config=calls.config())
    call = gateway.client.begin("held", b"x", timeout=None)
    held = calls.next()
    assert 4 < held.eval("req.remaining()") <= 7
    held.returns()
    assert outcome(call) == b"done"
    gateway.stop()
