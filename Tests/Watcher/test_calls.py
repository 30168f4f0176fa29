"""Calls that succeed: every kind of handler, input and reply, on every Python."""
import json
import struct

import pytest

import frames

ECHO = """
class Handler:
    def __call__(self, req):
        return req.input
"""


def handler(body):
    """The source of a handler class with this body of __call__."""
    return "class Handler:\n    def __call__(self, req):\n" + "".join(f"        {line}\n" for line in body.split("\n"))


def test_echo_on_each_python(start, each_python):
    replica = start(ECHO, python=each_python).started()
    hello = frames.Head(replica.hello.head)
    assert hello.number("H") <= 1 <= hello.number("H")
    assert hello.number("I") == replica.process.pid
    assert hello.string() == "secret-token"
    assert hello.string().startswith("3.")
    hello.end()
    data = bytes(range(256))
    answer = replica.ask(data)
    assert (answer.kind, answer.flags, answer.head, answer.payload) == (frames.REPLY, 0, b"\0\0", data)
    replica.drain()
    assert replica.status() == 0


def test_ready_tells_how_long_the_handler_took(start):
    replica = start("import time\nclass Handler:\n    def __init__(self): time.sleep(0.02)\n"
                    "    def __call__(self, req): return b''\n")
    head = frames.Head(replica.ready().head)
    assert 20_000 <= head.number("Q") < 60_000_000
    head.end()


@pytest.mark.parametrize("expression, expected, flags", [
    ("b'bytes'", b"bytes", 0),
    ("'text \\u20ac'", "text \u20ac".encode(), frames.TEXT),
    ("''", b"", frames.TEXT),
    ("b''", b"", 0),
    ("bytearray(b'array')", b"array", 0),
    ("memoryview(b'0123456')[2:4]", b"23", 0),
    ("__import__('array').array('H', [1, 2])", struct.pack("<HH", 1, 2), 0),
    ("type('Text', (str,), {})('derived')", b"derived", frames.TEXT),
    ("type('Data', (bytes,), {})(b'derived')", b"derived", 0),
])
def test_replies(start, each_python, expression, expected, flags):
    replica = start(handler(f"return {expression}"), python=each_python).started()
    answer = replica.ask()
    assert (answer.kind, answer.payload, answer.flags) == (frames.REPLY, expected, flags)


def test_lengths_around_the_buffers(start):
    replica = start(ECHO).started()
    lengths = [0, 1, 16_383, 16_384, 16_385, 65_519, 65_520, 65_536, 131_072, 163_839, 163_840, 1 << 20, 5_000_001]
    for length in lengths:
        data = bytes(i * 7 % 251 for i in range(1000)) * (length // 1000 + 1)
        assert replica.reply(data[:length]) == data[:length]


def test_many_calls_at_once_are_answered_in_order(start):
    replica = start(ECHO).started()
    calls = [frames.call(i, b"%d" % i * (i % 700), request_id="x" * (i % 200)) for i in range(1, 500)]
    replica.send(*calls)
    for i in range(1, 500):
        answer = replica.receive()
        assert (answer.id, answer.payload) == (i, b"%d" % i * (i % 700))


def test_a_frame_that_comes_byte_by_byte(start):
    replica = start(ECHO).started()
    for byte in frames.call(5, b"slowly", metadata=[("a", "b")]) + frames.call(6, b"next"):
        replica.send(bytes([byte]))
    assert replica.receive().payload == b"slowly"
    assert replica.receive().payload == b"next"


def test_the_largest_input_and_reply_pass(start):
    replica = start(ECHO, max_body=300_000).started()
    assert replica.reply(b"x" * 300_000) == b"x" * 300_000


def test_what_a_request_tells(start, each_python):
    source = handler("""import json, time
from dcf import Request
assert isinstance(req, Request)
assert req.info["name"] == req.info.name and req.info.timeout.call == req.info["timeout"]["call"]
assert req.metadata is req.metadata and abs(req.deadline - time.monotonic() - req.remaining()) < 1
return json.dumps({"id": req.request_id, "metadata": req.metadata, "info": req.info, "left": req.remaining(),
                   "repr": repr(req)})""")
    replica = start(source, python=each_python).started()
    metadata = [("user", "J\u00f6rg"), ("tag", "a"), ("tag", "b"), ("long", "y" * 500)]
    answer = json.loads(replica.reply(b"12345", micros=30_000_000, request_id="r-7", metadata=metadata))
    assert answer["id"] == "r-7"
    assert answer["metadata"] == {"user": "J\u00f6rg", "tag": "a,b", "long": "y" * 500}
    assert answer["info"] == {key: replica.settings[key] for key in ("name", "version", "timeout", "limits")}
    assert 20 < answer["left"] <= 30
    assert answer["repr"] == "<Request r-7, 5 bytes>"


def test_a_request_without_a_deadline(start):
    replica = start(handler("return repr((req.deadline, req.remaining(), req.metadata))")).started()
    assert replica.reply() == b"(None, None, {})"


def test_a_request_cannot_be_changed_and_says_what_it_lacks(start):
    replica = start(handler("""try:
    req.input = b''
except AttributeError:
    pass
else:
    return 'was set'
try:
    req.info.nome
except AttributeError as error:
    return str(error)""")).started()
    assert replica.reply() == b"info has no 'nome'; it has name, version, timeout, limits"


def test_requests_that_outlive_their_call(start):
    replica = start("""
class Handler:
    def __init__(self): self.kept = []
    def __call__(self, req):
        self.kept.append(req)
        return ",".join(each.request_id + str(each.metadata) for each in self.kept)
""").started()
    replica.reply(id=1, metadata=[("k", "1")])
    assert replica.reply(id=2, metadata=[("k", "2")]) == b"request-1{'k': '1'},request-2{'k': '2'}"


@pytest.mark.alone
def test_memory_stays_where_it_is(start):
    replica = start(handler("""req.metadata, req.request_id
import resource
return open('/proc/self/statm').read().split()[1]""")).started()

    def pages(rounds):
        for _ in range(rounds):
            replica.send(*[frames.call(i, b"x" * 100, metadata=[("k" * 90, "v"), ("k" * 90, "w")])
                           for i in range(1, 101)])
            last = [replica.receive() for _ in range(100)][-1]
        return int(last.payload)

    before = pages(20)
    assert pages(300) - before < 500


def test_numpy_like_buffers(start, python):
    """A matrix is sent as its bytes in order; one that is not contiguous is refused (test_faults)."""
    replica = start(handler(
        "return memoryview(b'abcdef').cast('B', (2, 3))")).started()
    assert replica.reply() == b"abcdef"


def test_signal_handlers_of_the_author_run_while_idle(start):
    replica = start("""
import signal
class Handler:
    def __init__(self):
        self.seen = 0
        signal.signal(signal.SIGUSR1, self.note)
    def note(self, *_):
        self.seen += 1
        print("noted", flush=True)
    def __call__(self, req):
        return str(self.seen)
""").started()
    import os
    import signal
    os.kill(replica.process.pid, signal.SIGUSR1)
    replica.out.wait_for(b"noted\n")
    assert replica.reply() == b"1"


def test_the_watcher_tells_how_long_the_handler_takes(start):
    replica = start("import time\n" + handler("time.sleep(float(req.input))\nreturn b''")).started()
    for _ in range(3):
        replica.reply(b"0.05")
    assert replica.paces and all(pace >= 50_000_000 for pace in replica.paces)
    # Quick calls count with time: each takes an eighth of what is left.
    for _ in range(1_000):
        if replica.paces[-1] < 10_000_000:
            break
        replica.reply(b"0")
    assert replica.paces[-1] < 10_000_000
    told = len(replica.paces)
    for _ in range(30):
        replica.reply(b"0.05")
    assert max(replica.paces[told:]) >= 20_000_000
