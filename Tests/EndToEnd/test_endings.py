"""How things end: close(), streams when the gateway drains, and who is told."""
import grpc
import pytest

from support import length
from support.background import background
from support.client import Client, Refused, outcome
from support.health import NOT_SERVING, SERVING, watch
from support.held import Calls
from support.ledger import Ledger, Load
from support.processes import exists
from support.streams import Stream, outputs
from support.waiting import wait_until


def test_close_is_called_when_a_replica_stops(gateway, client, calls):
    config = calls.config(parameters={"tell_close": True})
    gateway.deploy("held", config={**config, "replicas": {"min": 2, "max": 2}})
    pids = set(gateway.replicas("held"))
    gateway.dcf("function", "scale", "held", "1")
    closed = calls.next()
    assert closed.kind == "close" and closed.pid in pids, "scaled down"
    (left,) = pids - {closed.pid}
    gateway.dcf("function", "restart", "held")
    closed = calls.next()
    assert (closed.kind, closed.pid) == ("close", left), "restarted"
    gateway.wait_ready("held")
    (left,) = gateway.replicas("held")
    gateway.deploy("held", None, "--update", config=config)
    closed = calls.next()
    assert (closed.kind, closed.pid) == ("close", left), "updated"
    (left,) = gateway.replicas("held")
    gateway.delete("held")
    closed = calls.next()
    assert (closed.kind, closed.pid) == ("close", left), "deleted"
    calls.nothing(0.2)


def test_close_is_called_when_the_gateway_stops(own_gateway, calls):
    gateway = own_gateway()
    gateway.deploy("held", config=calls.config(parameters={"tell_close": True}))
    gateway.deploy("threads", "held", config=calls.config(parameters={"tell_close": True}, concurrency=3))
    gateway.deploy("loop", "held", config=calls.config("Async", parameters={"tell_close": True}, concurrency=3))
    pids = {pid for name in ("held", "threads", "loop") for pid in gateway.replicas(name)}
    gateway.stop()
    assert {one.pid for one in calls.take(3)} == pids


def test_close_comes_after_the_last_call(gateway, client, calls):
    gateway.deploy("held", config=calls.config(parameters={"tell_close": True}))
    call = client.begin("held", b"last")
    held = calls.next()
    stopping = background(gateway.dcf, "function", "create", "-f", str(
        gateway.write("held", None, None, calls.config(parameters={"tell_close": True}))), "--update")
    stopping.result(60)
    calls.nothing(0.3)
    held.returns()
    assert outcome(call) == b"done"
    assert (closed := calls.next()).kind == "close" and closed.pid == held.pid


def test_an_async_close_is_awaited(gateway, tmp_path):
    file = tmp_path / "closed"
    code = f"""
import asyncio
class Handler:
    async def __call__(self, req):
        return "x"
    async def close(self):
        await asyncio.sleep(0.05)
        open({str(file)!r}, "w").write("closed")
"""
    gateway.deploy("async-close", files={"handler.py": code})
    assert gateway.client.invoke("async-close") == "x"
    gateway.delete("async-close")
    wait_until(file.exists, 10, "an async close() was run")


@pytest.mark.parametrize("body", ["raise ValueError('cannot close')", "import time; time.sleep(600)",
                                  "import sys; sys.exit(3)", "while True: pass"])
def test_a_close_that_raises_or_hangs_ends_all_the_same(own_gateway, body):
    gateway = own_gateway("--limit", "stop=1s")
    gateway.deploy("bad", files={"handler.py": f"class Handler:\n    def __call__(self, req):\n        return 'x'\n"
                                               f"    def close(self):\n        {body}\n"})
    assert gateway.client.invoke("bad") == "x"
    pid = gateway.replicas("bad")[0]
    if "cannot close" in body:
        gateway.dcf("function", "restart", "bad")
        gateway.wait_ready("bad")
        wait_until(lambda: "cannot close" in gateway.client.log("bad"), 10, "the log says what close() raised")
    gateway.delete("bad")
    wait_until(lambda: not exists(pid), 10, "ended")
    gateway.stop()


def test_a_close_attribute_that_is_none(gateway, client):
    gateway.deploy("odd", files={
        "handler.py": "class Handler:\n    close = 5\n    def __call__(self, req):\n        return 'x'\n"})
    assert client.invoke("odd") == "x"
    pid = gateway.replicas("odd")[0]
    gateway.delete("odd")
    wait_until(lambda: not exists(pid), 10, "ended")


def test_streams_end_after_their_current_request_when_the_gateway_drains(own_gateway, calls):
    gateway = own_gateway()
    gateway.deploy("held", config=calls.config())
    client = Client(gateway.address)
    stream = Stream(client).send("held", b"first")
    one = calls.next()
    stream.send("held", b"second")
    one.returns(b"1")
    assert stream.piece() == b"1"
    two = calls.next()
    gateway.process.terminate()
    wait_until(lambda: "drain" in gateway.text().lower(), 10, "draining")
    # The current request is answered; the one behind it is not begun.
    stream.send("held", b"third")
    two.returns(b"2")
    assert stream.piece() == b"2"
    _, error = stream.rest()
    assert error is None or (error.name, error.executed) == ("UNAVAILABLE", "no"), error
    assert gateway.process.wait(10) == 0
    assert calls.begun == [b"first", b"second"]
    client.close()


def test_a_stream_that_waits_for_its_client_does_not_hold_up_the_drain(own_gateway):
    gateway = own_gateway()
    gateway.deploy("echo")
    client = Client(gateway.address)
    stream = Stream(client).send("echo", b"x")
    assert stream.piece() == b"x"
    idle = Stream(client)
    gateway.process.terminate()
    assert gateway.process.wait(10) == 0, "an open stream without a request held up the drain"
    for one in (stream, idle):
        _, error = one.rest()
        assert error is None or error.name == "UNAVAILABLE", error
    client.close()


def test_a_generator_runs_to_its_end_while_the_gateway_drains(own_gateway, calls):
    gateway = own_gateway()
    gateway.deploy("held", config=calls.config("Stream"))
    client = Client(gateway.address)
    stream = Stream(client).send("held", b"go").done_sending()
    one = calls.next()
    one.yields(b"1")
    assert stream.piece() == b"1"
    gateway.process.terminate()
    wait_until(lambda: "draining: 1 calls" in gateway.text(), 10, "draining")
    one.yields(b"2")
    assert stream.piece() == b"2"
    one.returns(None)
    _, error = stream.rest()
    assert error is None, error
    assert gateway.process.wait(10) == 0
    client.close()


def test_health_watch_tells_of_the_drain(own_gateway, calls):
    gateway = own_gateway()
    gateway.deploy("held", config=calls.config())
    client = Client(gateway.address)
    watches = [watch(client, service) for service in ("", "held")]
    assert [next(watching).status for watching in watches] == [SERVING, SERVING]
    call = client.begin("held", b"x")
    held = calls.next()
    gateway.process.terminate()
    assert [next(watching).status for watching in watches] == [NOT_SERVING, NOT_SERVING]
    held.returns()
    assert outcome(call) == b"done"
    assert gateway.process.wait(20) == 0
    for watching in watches:
        # They end with the gateway, and do not hold it up.
        with pytest.raises((grpc.RpcError, StopIteration)):
            next(watching)
    client.close()


class OpenStreams:
    """Streams that send one request after another to functions/ledger, until they are ended by the gateway."""

    def __init__(self, address, ledger, name, count):
        self.ledger, self.name = ledger, name
        self.clients = [Client(address) for _ in range((count + 49) // 50)]
        self.ended = [background(self._run, n, self.clients[n % len(self.clients)]) for n in range(count)]

    def _run(self, number, client):
        """Notes one status for each request; returns how the stream ended."""
        with Stream(client, timeout=120) as stream:
            for count in range(1_000_000):
                ident = f"stream-{number}-{count}"
                self.ledger.sent[ident] = self.name
                stream.send(self.name, f"{ident} 5".encode())
                try:
                    self.ledger.record(ident, ("OK", stream.piece(), "yes", self.name))
                except StopIteration:
                    # Ended after the request before this one.
                    self.ledger.record(ident, ("UNAVAILABLE", "the stream has ended", "no", self.name))
                    return "ended"
                except Refused as error:
                    self.ledger.record(ident, (error.name, error.message, error.executed, self.name))
                    return error.name

    def all_answered(self):
        """Whether each of them has had a reply."""
        return all(f"stream-{n}-0" in self.ledger.statuses for n in range(len(self.ended)))

    def join(self):
        ends = [one.result(60) for one in self.ended]
        for client in self.clients:
            client.close()
        return ends


@pytest.mark.fault("F1")
def test_sigterm_under_load_with_streams_open(own_gateway, tmp_path):
    """No accepted call fails, no request of a stream that began is without its reply, no generator is cut off."""
    for turn in range(length(2, 20)):
        gateway, ledger = own_gateway(), Ledger(tmp_path / f"ledger-{turn}")
        for name in ("calls", "streams"):
            gateway.deploy(name, "ledger", config={
                "parameters": {"ledger": str(ledger.path)}, "replicas": {"min": 2, "max": 2}})
        with Calls() as held:
            gateway.deploy("held", config=held.config("Stream", concurrency=4))
            client = Client(gateway.address)
            generators = [Stream(client, timeout=120).send("held", b"%d" % n).done_sending() for n in range(4)]
            ones = {one.input: one for one in held.take(4)}
            for n in range(4):
                ones[b"%d" % n].yields(b"before")
                assert generators[n].piece() == b"before"
            with Load(gateway.address, ledger, ["calls"], in_flight=32, milliseconds=10) as load:
                streams = OpenStreams(gateway.address, ledger, "streams", 16)
                wait_until(lambda ledger=ledger, streams=streams: len(ledger.statuses) > 300 and streams.all_answered(),
                           30, "load")
                accepted = load.accepted()
                gateway.process.terminate()
                # What waits for the process and for its callers waits beside what they still do.
                exited = background(gateway.process.wait, 40)
                for n in range(4):
                    ones[b"%d" % n].yields(b"after")
                    ones[b"%d" % n].returns(None)
                for stream in generators:
                    _, error = stream.rest()
                    assert error is None, f"turn {turn}: a generator was cut off: {error}"
                    assert outputs(stream.messages) == [[b"before", b"after"]]
                ends = streams.join()
                assert exited.result(41) == 0
                load.stop()
            client.close()
        ledger.check()
        starts, _ = ledger.ran()
        failed = [ledger.statuses[i] for i in {*starts, *accepted} if ledger.statuses[i][0] != "OK"]
        assert not failed, f"turn {turn}: {len(failed)} that were accepted failed: {failed[:3]}"
        # All of them were open before: each is told what became of it.
        assert set(ends) == {"UNAVAILABLE"}, ends
