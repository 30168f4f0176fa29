"""A caller that goes away: what is queued is dropped, what runs is told, and nobody else notices."""
import random
import threading
import time

import grpc
import pytest

from support import length
from support.client import Client, outcome, refused
from support.held import Calls
from support.ledger import Ledger
from support.waiting import pause, wait_until


def fill(client, name, data, count):
    """Begins calls until so many wait in the queue and are not refused. Fails when that many places do not become
    free."""
    waiting = []

    def full():
        begun = [client.begin(name, data) for _ in range(count - len(waiting))]
        # It has read them all.
        assert refused(client.invoke, "no-such-function").name == "NOT_FOUND"
        end = time.monotonic() + 0.3
        for call in begun:
            try:
                call.result(max(0.001, end - time.monotonic()))
            except grpc.FutureTimeoutError:
                waiting.append(call)
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, error
        return len(waiting) == count

    wait_until(full, 10, f"{count} places in the queue")
    return waiting


def test_queued_work_is_dropped_and_its_places_are_free(gateway, client, calls):
    gateway.deploy("held", config=calls.config(queue=5))
    running = client.begin("held", b"running")
    first = calls.next()
    dropped = fill(client, "held", b"dropped", 5)
    assert outcome(client.begin("held", b"over")).name == "RESOURCE_EXHAUSTED"
    for call in dropped:
        call.cancel()
    kept = fill(client, "held", b"kept", 5)
    first.returns()
    assert outcome(running) == b"done"
    for _ in kept:
        held = calls.next()
        assert held.input == b"kept", "a call that was cancelled in the queue was run"
        held.returns()
    assert [outcome(call) for call in kept] == [b"done"] * 5
    assert calls.begun == [b"running"] + [b"kept"] * 5


@pytest.mark.parametrize("kind", ["Handler", "Async"])
def test_a_running_handler_sees_it(gateway, client, calls, kind):
    gateway.deploy("held", None, "--replace", config=calls.config(kind))
    call = client.begin("held", b"x")
    held = calls.next()
    assert held.eval("req.cancelled") is False
    call.cancel()
    held.becomes("req.cancelled", True)
    held.returns()
    # It was not interrupted, and the process goes on.
    following = client.begin("held", b"next")
    after = calls.next()
    assert after.pid == held.pid and after.eval("req.cancelled") is False
    after.returns()
    assert outcome(following) == b"done"


def test_a_client_that_dies_is_a_cancel_too(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config())
    other = Client(gateway.address)
    # A future that nobody holds is cancelled by the client's own library.
    call = other.begin("held", b"x")
    held = calls.next()
    other.close()
    held.becomes("req.cancelled", True)
    held.returns()
    assert call.done()


def test_by_default_nothing_is_raised(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config())
    call = client.begin("held", b"x")
    held = calls.next()
    call.cancel()
    held.becomes("req.cancelled", True)
    held.undisturbed(0.2)
    held.returns()


@pytest.mark.parametrize("concurrency", [1, 3])
def test_cancel_raise_raises_in_the_calls_thread_alone(gateway, client, calls, concurrency):
    gateway.deploy("held", None, "--replace", config=calls.config(cancel="raise", concurrency=concurrency))
    begun = [client.begin("held", b"%d" % n) for n in range(concurrency)]
    held = {h.input: h for h in calls.take(concurrency)}
    for one in held.values():
        one.spin()
    begun[0].cancel()
    said = held[b"0"].heard()
    assert "Cancel" in said["raised"], f"raised {said['raised']}, which does not say that it is a cancellation"
    # The others spin on, unharmed, until they are cancelled in their turn.
    for n in range(1, concurrency):
        assert not begun[n].done()
        begun[n].cancel()
        assert "Cancel" in held[b"%d" % n].heard()["raised"]
    after = client.begin("held", b"after")
    following = calls.next()
    assert following.pid == held[b"0"].pid, "the process was replaced"
    # What was raised for one call does not strike the next in its thread.
    following.undisturbed(0.1)
    following.returns()
    assert outcome(after) == b"done"


def test_cancel_raise_of_a_call_that_is_just_done(gateway, client):
    """The exception must hit its own call or none: never the next one in that thread."""
    code = "import time\ndef Handler(req):\n    time.sleep(float(req.input) / 1e6)\n    return req.input\n"
    gateway.deploy("brief", files={"handler.py": code}, config={"cancel": "raise"})
    pid, chance = gateway.replicas("brief"), random.Random(4711)
    for n in range(length(300, 5000)):
        call = client.begin("brief", b"3000")
        pause(chance.random() * 0.006)
        call.cancel()
        kept = outcome(client.begin("brief", b"%d" % (500 + n % 7)))
        assert kept == b"%d" % (500 + n % 7), f"round {n}: another's cancel reached this call: {kept}"
    assert gateway.replicas("brief") == pid


def test_cancel_raise_ends_what_an_async_handler_awaits(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Async", cancel="raise", concurrency=2))
    first, second = client.begin("held", b"first"), client.begin("held", b"second")
    held = {h.input: h for h in calls.take(2)}
    held[b"first"].awaits("asyncio.sleep(1000)")
    first.cancel()
    assert "Cancel" in held[b"first"].heard()["raised"]
    assert held[b"second"].eval("req.cancelled") is False
    held[b"second"].returns(b"kept")
    assert outcome(second) == b"kept"


@pytest.mark.parametrize("cancel", ["flag", "raise"])
def test_one_cancel_never_touches_another_call_of_the_batch(gateway, client, calls, cancel):
    gateway.deploy("held", None, "--replace", config=calls.config("Batch", batch={"max_size": 3}, cancel=cancel))
    opening = client.begin("held", b"opening")
    calls_in = calls.next()
    begun = client.queue_up("held", [b"%d" % n for n in range(3)])
    calls_in.returns([b"opened"])
    held = calls.next()
    assert sorted(held.inputs) == [b"0", b"1", b"2"]
    begun[1].cancel()
    held.becomes("sorted(r.input for r in reqs if r.cancelled)", [b"1"])
    held.undisturbed(0.1)
    held.returns_value_of("[r.input * 2 for r in reqs]")
    assert [outcome(opening), outcome(begun[0]), outcome(begun[2])] == [b"opened", b"00", b"22"]


@pytest.mark.alone
@pytest.mark.fault("B2")
def test_calls_cancelled_at_random_moments(own_gateway, tmp_path):
    """No place leaks: later as many calls run at once, as fast. Nothing ran twice. What was queued never started."""
    gateway = own_gateway()
    ledger, total = Ledger(tmp_path / "ledger"), length(2000, 10_000)
    gateway.deploy("ledger", config={"parameters": {"ledger": str(ledger.path)}, "replicas": {"min": 2, "max": 2}})
    clients = [Client(gateway.address) for _ in range(4)]
    before = full_speed(clients, ledger, "before")

    def random_cancels(worker):
        chance = random.Random(worker)
        for n in range(total // 32):
            ident = f"cancelled-{worker}-{n}"
            ledger.sent[ident] = "ledger"
            call = clients[worker % 4].begin("ledger", f"{ident} 2".encode(), 30)
            try:
                status = ("OK", call.result(chance.random() * 0.06).Output, "yes", "ledger")
            except grpc.FutureTimeoutError:
                call.cancel()
                status = ("CANCELLED", "", None, "ledger")
            except grpc.RpcError as error:
                status = (error.code().name, error.details(), None, "ledger")
            ledger.record(ident, status)

    workers = [threading.Thread(target=random_cancels, args=(w,), daemon=True) for w in range(32)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert not worker.is_alive(), "a caller hangs"
    counts = ledger.check()
    assert set(counts) == {"OK", "CANCELLED"}, counts
    assert counts["CANCELLED"] > total // 10, f"hardly any was cancelled: {counts}"
    # The best of three: what else the machine does may take one of them.
    after = max(full_speed(clients, ledger, f"after-{n}") for n in range(3))
    assert after > before / 2, f"{before:.0f} calls a second before, {after:.0f} after"
    begun = {}
    for ident in ("place-0", "place-1"):
        ledger.sent[ident] = "ledger"
        begun[ident] = clients[0].begin("ledger", f"{ident} 5000".encode(), 30)
    wait_until(lambda: set(begun) <= set(ledger.ran()[0]), 4, "both places are free")
    for ident, call in begun.items():
        ledger.record(ident, ("OK", outcome(call), "yes", "ledger"))
    starts, ends = ledger.ran()
    assert starts == ends, "a call began and never ended"
    # Queued when it was cancelled: never started.
    with Calls() as calls:
        gateway.deploy("held", config=calls.config(queue=80))
        running = clients[0].begin("held", b"running")
        held = calls.next()
        for call in fill(clients[1], "held", b"queued", 80):
            call.cancel()
        kept = fill(clients[2], "held", b"kept", 80)
        held.returns()
        for _ in kept:
            calls.next().returns()
        assert [outcome(call) for call in [running, *kept]] == [b"done"] * 81
        assert calls.begun == [b"running"] + [b"kept"] * 80, "a call that was cancelled in the queue was run"
        gateway.delete("held")
    for client in clients:
        client.close()
    gateway.stop()


def full_speed(clients, ledger, what, count=1000):
    """Calls a second of so many calls of 2 ms, 32 in flight, each of which must be answered."""
    began = time.monotonic()

    def run(worker):
        for n in range(count // 32 + 1):
            ident = f"{what}-{worker}-{n}"
            ledger.sent[ident] = "ledger"
            ledger.record(
                ident, ("OK", clients[worker % 4].invoke_bytes("ledger", f"{ident} 2".encode(), 30), "yes", "ledger"))

    workers = [threading.Thread(target=run, args=(w,), daemon=True) for w in range(32)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert not worker.is_alive(), f"{what}: a caller hangs"
    ledger.check()
    return count / (time.monotonic() - began)
