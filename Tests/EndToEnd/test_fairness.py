"""No call waits behind a slow one while another replica idles; a full queue says so at once."""
import time

import pytest

from support import length
from support.client import Client, Refused, outcome, refused
from support.ledger import Ledger
from support.processes import kill, memory
from support.waiting import wait_until

pytestmark = pytest.mark.alone

#: Calls on one connection, less than the 100 that it may have.
CALLS = 80


@pytest.fixture
def clients(gateway):
    made = [Client(gateway.address) for _ in range(4)]
    yield made
    for client in made:
        client.close()


def short_calls(clients, ledger, name, count, mark):
    """Begins many calls that take no time; while they are short the gateway sends them ahead."""
    begun = {}
    for n in range(count):
        ident = f"{mark}-{n}"
        ledger.sent[ident] = name
        begun[ident] = clients[n % len(clients)].begin(name, f"{ident} 0".encode(), 60)
    return begun


def settle(ledger, begun):
    for ident, call in begun.items():
        got = outcome(call, 60)
        assert not isinstance(got, Refused), f"{ident}: {got}"
        ledger.record(ident, ("OK", got, "yes", ""))


def test_what_was_sent_ahead_of_a_slow_call_goes_to_a_free_replica(gateway, client, clients, tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    gateway.deploy("fair", "ledger",
                   config={"parameters": {"ledger": str(ledger.path)}, "replicas": {"min": 2, "max": 2}})
    slow_ones = {}
    for n in range(length(5, 50)):
        # Short calls, so that the windows open; in their midst one that is slow.
        settle(ledger, short_calls(clients, ledger, "fair", 400, f"opening-{n}"))
        before = short_calls(clients, ledger, "fair", 100, f"before-{n}")
        ledger.sent[f"slow-{n}"] = "fair"
        slow = client.begin("fair", f"slow-{n} 4000".encode(), 60)
        after = short_calls(clients, ledger, "fair", 200, f"after-{n}")
        settle(ledger, before | after)
        assert not slow.done(), f"round {n}: short calls waited until the slow one was done"
        slow_ones[f"slow-{n}"] = slow
        wait_until(slow.done, 10, "the slow call's end")
    settle(ledger, slow_ones)
    assert set(ledger.check()) == {"OK"}


def test_what_waits_goes_to_a_replica_that_comes_later(gateway, client, clients, tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    gateway.deploy("fair", "ledger", "--replace", config={
        "parameters": {"ledger": str(ledger.path)}, "replicas": {"min": 1, "max": 2}})
    settle(ledger, short_calls(clients, ledger, "fair", 400, "opening"))
    ledger.sent["slow"] = "fair"
    before = short_calls(clients, ledger, "fair", 50, "before")
    slow = client.begin("fair", b"slow 15000", 60)
    after = short_calls(clients, ledger, "fair", 100, "after")
    gateway.dcf("function", "scale", "fair", "2")
    settle(ledger, before | after)
    assert not slow.done(), "calls waited behind the slow one with another replica idle"
    slow.cancel()
    ledger.record("slow", ("CANCELLED", "", None, "fair"))
    ledger.check()
    # The handler sleeps on, and nothing else needs its process.
    for pid in gateway.replicas("fair"):
        kill(pid)


def test_two_slow_calls_do_not_share_a_replica_while_another_is_free(gateway, client, calls):
    gateway.deploy("held", config=calls.config(replicas={"min": 3, "max": 3}))
    # The windows are opened by short calls first.
    assert [outcome(c) for c in [client.begin("held", b"quick") for _ in range(CALLS)]] == [b"quick"] * CALLS
    begun = [client.begin("held", b"%d" % n) for n in range(3)]
    held = calls.take(3)
    assert len({h.pid for h in held}) == 3, f"three calls on three replicas: {held}"
    for one in held:
        one.returns()
    assert [outcome(c) for c in begun] == [b"done"] * 3


@pytest.mark.fault("C1")
def test_a_full_queue_refuses_within_50_ms_and_memory_is_bounded(own_gateway, calls):
    gateway = own_gateway("--limit", "queue=50")
    gateway.deploy("held", config=calls.config())
    running = gateway.client.begin("held", b"running")
    held = calls.next()
    begun = [gateway.client.begin("held", b"quick", timeout=120) for _ in range(60)]
    # Those that are too many end at once, which says that the others are in the queue.
    wait_until(lambda: sum(call.done() for call in begun) == 10, 30, "ten of sixty calls refused")
    waiting = [call for call in begun if not call.done()]
    other, data = Client(gateway.address), b"x" * (256 << 10)
    before = memory(gateway.pid)

    def refusals():
        """How long each took, in order of length."""
        took = []
        for _ in range(length(400, 5000)):
            began = time.perf_counter()
            error = refused(other.invoke_bytes, "held", data)
            took.append(time.perf_counter() - began)
            assert (error.name, error.executed) == ("RESOURCE_EXHAUSTED", "no"), error
            assert int(error.trailers["grpc-retry-pushback-ms"]) >= 0, error.trailers
        return sorted(took)

    # The best of three: what else the machine does may make one of them long.
    took = min((refusals() for _ in range(3)), key=lambda took: took[len(took) * 99 // 100])
    other.close()
    assert took[len(took) * 99 // 100] < 0.05, (
        f"refused after {took[len(took) // 2]:.3f} s p50, {took[-1]:.3f} s at most")
    grown = memory(gateway.pid) - before
    assert grown < 64 << 20, f"{grown >> 20} MiB more for calls that were refused"
    assert not running.done()
    held.returns()
    assert [outcome(call) for call in [running, *waiting]] == [b"done"] + [b"quick"] * 50
    gateway.stop()
