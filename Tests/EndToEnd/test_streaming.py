"""Handlers that yield: pieces as they are made, flow control down to the generator, and every way to end."""
import os
import struct
import subprocess
import sys
import time

import pytest

from support import length
from support.background import background
from support.client import READS_LITTLE, Client, outcome, refused
from support.gateway import BIN
from support.processes import kill, memory
from support.streams import Stream, outputs, well_formed
from support.waiting import pause, wait_until

KINDS = ["Stream", "AsyncStream"]
#: What may lie between a generator and a reader that pauses: the credit of 256 KiB, and the windows of the sockets and
#: of HTTP/2.
AHEAD_KIB = 1024


class Progress:
    """How far the generators of functions/pieces came."""

    def __init__(self, folder):
        self.path = folder / "progress"
        self.path.write_bytes(bytes(16))
        self.path.chmod(0o666)

    @property
    def made(self):
        return struct.unpack_from("<Q", self.path.read_bytes())[0]

    @property
    def closed(self):
        return struct.unpack_from("<Q", self.path.read_bytes(), 8)[0]

    def stands_still(self, seconds=0.7):
        """Waits until no piece has been made for a while; returns how many there are."""
        last, since = self.made, time.monotonic()

        def still():
            nonlocal last, since
            if (now := self.made) != last:
                last, since = now, time.monotonic()
            return time.monotonic() - since > seconds

        wait_until(still, 30, "the generator is paused")
        return last

    @property
    def config(self):
        return {"parameters": {"progress": str(self.path)}}


@pytest.fixture
def progress(tmp_path):
    return Progress(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_each_piece_comes_as_it_is_made(gateway, client, calls, kind):
    gateway.deploy("held", None, "--replace", config=calls.config(kind))
    with Stream(client) as stream:
        stream.send("held", b"go")
        held = calls.next()
        # The next piece does not exist before this one was read.
        for n in range(5):
            held.yields(b"piece %d" % n)
            message = stream.read()
            assert (message.Output, message.Request, message.Last) == (b"piece %d" % n, 0, False)
        held.returns(None)
        stream.done_sending()
        _, error = stream.rest()
        assert error is None
        assert outputs(stream.messages) == [[b"piece %d" % n for n in range(5)]]
        well_formed(stream.messages, 1)


def test_text_and_bytes_like_pieces(gateway, client):
    code = ("def Handler(req):\n    yield 'text é'\n    yield b'\\xff'\n    yield bytearray(b'array')\n"
            "    yield memoryview(b'view')\n    yield ''\n    yield b'end'\n")
    gateway.deploy("kinds-of", files={"handler.py": code})
    with Stream(client) as stream:
        messages, error = stream.send("kinds-of").done_sending().rest()
    assert error is None
    assert [m.Output for m in messages if m.Output] == ["text é".encode(), b"\xff", b"array", b"view", b"end"]
    well_formed(messages, 1)


def test_a_generator_that_yields_nothing(gateway, client):
    gateway.deploy("nothing", files={"handler.py": "def Handler(req):\n    return\n    yield\n"})
    with Stream(client) as stream:
        messages, error = stream.send("nothing").done_sending().rest()
    assert error is None and [m.Output for m in messages] == [b""]
    well_formed(messages, 1)
    assert client.invoke("nothing") == ""


def test_an_iterator_that_is_returned_streams_too(gateway, client):
    gateway.deploy("returned", files={"handler.py": "def Handler(req):\n    return (c for c in req.input.decode())\n"})
    with Stream(client) as stream:
        messages, error = stream.send("returned", b"abc").done_sending().rest()
    assert error is None and outputs(messages) == [[b"a", b"b", b"c"]]


def test_several_requests_of_one_stream(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Stream"))
    gateway.deploy("echo", None, "--replace")
    with Stream(client) as stream:
        stream.send("held", b"one").send("echo", b"plain").send("held", b"three").done_sending()
        first = calls.next()
        first.yields(b"1a")
        assert stream.piece() == b"1a"
        calls.nothing(0.2)
        first.yields(b"1b")
        assert stream.piece() == b"1b"
        first.returns(None)
        third = calls.next()
        assert third.input == b"three"
        third.yields(b"3a")
        third.returns(None)
        _, error = stream.rest()
    assert error is None
    assert outputs(stream.messages) == [[b"1a", b"1b"], [b"plain"], [b"3a"]]
    well_formed(stream.messages, 3)


def test_ten_thousand_pieces_in_order(gateway, client, progress):
    gateway.deploy("pieces", None, "--replace", config=progress.config)
    with Stream(client, timeout=60) as stream:
        messages, error = stream.send("pieces", b"10000").done_sending().rest()
    assert error is None
    (pieces,) = outputs(messages)
    assert [p[:8] for p in pieces] == [b"%08d" % n for n in range(10_000)] and {len(p) for p in pieces} == {1024}
    well_formed(messages, 1)
    assert client.invoke_bytes("pieces", b"3 10") == b"00000000..00000001..00000002.."


def test_large_pieces(gateway, client, progress):
    gateway.deploy("pieces", None, "--replace", config=progress.config)
    with Stream(client, timeout=60) as stream:
        messages, error = stream.send("pieces", b"8 3000000").done_sending().rest()
    assert error is None and [len(p) for p in outputs(messages)[0]] == [3_000_000] * 8


@pytest.mark.alone
def test_a_slow_reader_pauses_the_generator_and_memory_stays_bounded(own_gateway, progress):
    gateway = own_gateway()
    gateway.deploy("pieces", config={**progress.config, "timeout": {"call": "10m"}})
    gateway.deploy("echo")
    total = length(200_000, 2_000_000)
    # What is made once is made before anything is measured.
    assert len(gateway.client.invoke_bytes("pieces", b"1000")) == 1000 << 10
    watcher = gateway.replicas("pieces")[0]
    before = {pid: memory(pid) for pid in (gateway.pid, watcher)}
    slow = Client(gateway.address, *READS_LITTLE)
    with Stream(slow, timeout=600) as stream:
        stream.send("pieces", b"%d" % total).done_sending()
        assert stream.piece()[:8] == b"00000000"
        ahead = progress.stands_still()
        assert ahead < AHEAD_KIB, f"{ahead} KiB were made for a reader that read one"
        # Ten pieces a second, and never many more made than were read.
        end, read = time.monotonic() + length(4, 30), 1
        while time.monotonic() < end:
            assert stream.piece()[:8] == b"%08d" % read
            read += 1
            pause(0.1)
            assert progress.made - read <= AHEAD_KIB, f"{progress.made - read} KiB ahead of the reader"
            assert gateway.client.invoke("echo", b"others", timeout=10) == "others"
        grown = {pid: memory(pid) - before[pid] for pid in before}
        assert max(grown.values()) < 16 << 20, f"grew by {grown} bytes"
        # Read at full speed again it goes on where it was.
        for n in range(read, read + 3000):
            assert stream.piece()[:8] == b"%08d" % n
    wait_until(lambda: progress.closed == 1, 10, "the generator is closed when the reader leaves")
    slow.close()
    assert gateway.client.invoke_bytes("pieces", b"1 8") == b"00000000"
    assert gateway.replicas("pieces") == [watcher]
    gateway.stop()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "raised, name, said",
    [("ValueError('midway')", "UNKNOWN", "ValueError: midway"),
     ("dcf.Error('DATA_LOSS', 'the film tore')", "DATA_LOSS", "the film tore"),
     ("SystemExit(1)", "UNKNOWN", "SystemExit")])
def test_a_generator_that_raises_midway(gateway, client, calls, kind, raised, name, said):
    gateway.deploy("held", None, "--replace", config=calls.config(kind))
    with Stream(client) as stream:
        stream.send("held", b"go").send("held", b"never")
        held = calls.next()
        held.yields(b"before")
        assert stream.piece() == b"before"
        held.raises(raised)
        messages, error = stream.rest()
        assert not messages and (error.name, error.executed) == (name, "yes"), error
        assert said in error.message
        calls.nothing(0.2)
    # Over Invoke too.
    call = client.begin("held", b"joined")
    held = calls.next()
    held.yields(b"lost")
    held.raises(raised)
    error = outcome(call)
    assert (error.name, error.executed) == (name, "yes") and said in error.message
    assert calls.begun == [b"go", b"joined"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_stops_reading_closes_the_generator(gateway, client, calls, kind):
    gateway.deploy("held", None, "--replace", config=calls.config(kind))
    with Stream(client) as stream:
        stream.send("held", b"go")
        held = calls.next()
        held.yields(b"one")
        assert stream.piece() == b"one"
        # It is past its yield before the client leaves.
        assert held.eval("req.cancelled") is False
        stream.cancel()
        if kind == "Stream":
            # A generator is closed where it yields; until then it can see that nobody reads.
            held.becomes("req.cancelled", True)
            held.yields(b"two")
        assert held.heard()["raised"] in ("GeneratorExit", "CancelledError")
    after = client.begin("held", b"after")
    following = calls.next()
    assert following.pid == held.pid
    following.returns(None)
    assert outcome(after) == b""


def test_a_client_that_dies_closes_the_generator(gateway, client, progress):
    gateway.deploy("pieces", None, "--replace", config=progress.config)
    code = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from support.client import Client
from support.streams import Stream
stream = Stream(Client({gateway.address!r}))
stream.send("pieces", b"100000000")
for _ in range(10):
    stream.piece()
print("reads", flush=True)
import time
time.sleep(600)
"""
    reader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert reader.stdout.readline() == "reads\n"
    finally:
        kill(reader.pid)
        reader.wait()
        reader.stdout.close()
    wait_until(lambda: progress.closed == 1, 10, "the generator is closed")
    assert client.invoke_bytes("pieces", b"1 8") == b"00000000"


def test_invoke_joins_the_pieces(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Stream"))
    joined = background(client.invoke, "held", b"go")
    held = calls.next()
    for piece in ("grün, ", "blau, ", "rot"):
        held.yields(piece)
    held.returns(None)
    assert joined.result(20) == "grün, blau, rot"
    call = client.begin("held", b"bytes")
    held = calls.next()
    for piece in (b"\xff", b"\x00", b"text"):
        held.yields(piece)
    held.returns(None)
    assert outcome(call) == b"\xff\x00text"


def test_a_character_may_be_split_between_pieces_that_invoke_joins(gateway, client):
    data = "é".encode()
    gateway.deploy("split",
                   files={"handler.py": f"def Handler(req):\n    yield {data[:1]!r}\n    yield {data[1:]!r}\n"})
    assert client.invoke("split") == "é"


def test_joined_pieces_above_the_limit_are_refused(own_gateway, progress):
    gateway = own_gateway("--limit", "message=1MiB")
    gateway.deploy("pieces", config=progress.config)
    assert len(gateway.client.invoke_bytes("pieces", b"1000")) == 1000 << 10
    error = refused(gateway.client.invoke_bytes, "pieces", b"1025")
    assert (error.name, error.executed) == ("RESOURCE_EXHAUSTED", "yes"), error
    # A stream of as many pieces is no message, and has no such bound; one piece has.
    with Stream(gateway.client) as stream:
        messages, error = stream.send("pieces", b"3000").done_sending().rest()
        assert error is None and len(outputs(messages)[0]) == 3000
    with Stream(gateway.client) as stream:
        messages, error = stream.send("pieces", b"1 1100000").done_sending().rest()
        assert (error.name, error.executed) == ("RESOURCE_EXHAUSTED", "yes"), error
    # A generator without end over Invoke: stopped at the limit, not at the end of time.
    error = refused(gateway.client.invoke_bytes, "pieces", b"1000000000", timeout=20)
    assert (error.name, error.executed) == ("RESOURCE_EXHAUSTED", "yes"), error
    wait_until(lambda: progress.closed >= 1, 10, "the generator is closed")
    gateway.stop()


def test_a_stream_that_yields_an_int(gateway, client):
    gateway.deploy("ints",
                   files={"handler.py": "def Handler(req):\n    yield 'fine'\n    yield 5\n    yield 'never'\n"})
    with Stream(client) as stream:
        messages, error = stream.send("ints").done_sending().rest()
    assert [m.Output for m in messages] == [b"fine"]
    assert (error.name, error.executed) == ("INTERNAL", "yes") and "int" in error.message, error
    error = refused(client.invoke, "ints")
    assert (error.name, error.executed) == ("INTERNAL", "yes") and "int" in error.message
    gateway.deploy("dicts", files={"handler.py": "def Handler(req):\n    yield {'a': 1}\n"})
    assert "json.dumps" in refused(client.invoke, "dicts").message


@pytest.mark.alone
@pytest.mark.parametrize("kind", KINDS)
def test_timeout_call_counts_for_the_whole_request(gateway, client, calls, kind):
    gateway.deploy("held", None, "--replace", config=calls.config(kind, timeout={"call": "5s"}))
    with Stream(client) as stream:
        stream.send("held", b"go")
        held = calls.next()
        held.yields(b"one")
        assert stream.piece() == b"one"
        held.stuck("time.sleep(1e6)")
        began = time.monotonic()
        _, error = stream.rest()
        assert (error.name, error.executed) == ("DEADLINE_EXCEEDED", "maybe"), error
        assert time.monotonic() - began < 6
    gateway.wait_ready("held")


def test_a_watcher_that_dies_midway(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Stream"))
    with Stream(client) as stream:
        stream.send("held", b"go")
        held = calls.next()
        held.yields(b"one")
        assert stream.piece() == b"one"
        kill(held.pid)
        _, error = stream.rest()
    assert (error.name, error.executed) == ("UNAVAILABLE", "maybe"), error
    assert error.trailers["grpc-retry-pushback-ms"] == "-1"


def test_a_stream_keeps_its_place_until_its_end(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Stream"))
    with Stream(client) as stream:
        stream.send("held", b"go")
        held = calls.next()
        held.yields(b"one")
        assert stream.piece() == b"one"
        waits = client.begin("held", b"waits")
        calls.nothing(0.2)
        held.returns(None)
        following = calls.next()
        following.returns(None)
        assert outcome(waits) == b""


def test_streams_side_by_side(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Stream", concurrency=4))
    streams = [Stream(client) for _ in range(4)]
    for n, stream in enumerate(streams):
        stream.send("held", b"%d" % n).done_sending()
    held = {h.input: h for h in calls.take(4)}
    for turn in range(3):
        for n in reversed(range(4)):
            held[b"%d" % n].yields(b"%d.%d" % (n, turn))
            assert streams[n].piece() == b"%d.%d" % (n, turn)
    for one in held.values():
        one.returns(None)
    for n, stream in enumerate(streams):
        assert stream.rest()[1] is None
        assert outputs(stream.messages) == [[b"%d.%d" % (n, turn) for turn in range(3)]]


def test_a_paused_stream_does_not_hold_up_other_calls_of_its_watcher(gateway, client, progress):
    gateway.deploy("pieces", None, "--replace", config={**progress.config, "concurrency": 2})
    slow = Client(gateway.address)
    with Stream(slow) as stream:
        stream.send("pieces", b"100000")
        stream.piece()
        progress.stands_still()
        for _ in range(20):
            assert len(client.invoke_bytes("pieces", b"100", timeout=10)) == 100 << 10
    slow.close()


def test_dcf_function_call_writes_pieces_as_they_come(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Stream"))
    running = subprocess.Popen(
        [str(BIN / "dcf"), "function", "call", "held", "-g", gateway.address], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        running.stdin.write(b"go")
        running.stdin.close()
        held = calls.next()
        for piece in (b"one\n", b"two\n", b"\xff\n"):
            held.yields(piece)
            assert background(running.stdout.readline).result(10) == piece
        held.returns(None)
        assert running.wait(10) == 0 and running.stdout.read() == b""
    finally:
        running.kill()
        running.wait()
        running.stdout.close()
        running.stderr.close()
    # A generator that raises: what came is there, and the status is not 0.
    pending = background(gateway.dcf, "function", "call", "held", input=b"x", check=False)
    held = calls.next()
    held.yields(b"before")
    held.raises("ValueError('midway')")
    done = pending.result(20)
    assert done.returncode == 1 and done.stdout == b"before" and "ValueError: midway" in done.error


def test_a_reader_that_leaves_dcf_closes_the_generator(gateway, client, progress):
    gateway.deploy("pieces", None, "--replace", config=progress.config)
    done = subprocess.run(
        f"printf 100000000 | {BIN}/dcf function call pieces -g {gateway.address} | head -c 100", shell=True,
        capture_output=True, timeout=60)
    assert done.stdout[:8] == b"00000000" and b"Fatal" not in done.stderr
    wait_until(lambda: progress.closed == 1, 10, "the generator is closed")


def test_a_handler_that_does_not_stream_gives_one_message(gateway, client):
    gateway.deploy("echo", None, "--replace")
    with Stream(client) as stream:
        for n in range(3):
            stream.send("echo", b"%d" % n)
        messages, error = stream.done_sending().rest()
    assert error is None and outputs(messages) == [[b"0"], [b"1"], [b"2"]]
    assert all(m.Last for m in messages)

