"""Replies in pieces: each piece is sent when it is made, as long as the caller reads, and then the end or an error."""
import select

import pytest

import frames
from replica import settings
from test_calls import handler

COUNT = """
class Handler:
    def __call__(self, req):
        for i in range(int(req.input)):
            yield b"%d" % i
"""

ASYNC_COUNT = COUNT.replace("def __call__", "async def __call__")


@pytest.mark.parametrize("source", [COUNT, ASYNC_COUNT])
def test_pieces_and_their_end(start, each_python, source):
    replica = start(source, python=each_python).started()
    pieces, end = replica.stream(b"1000")
    assert pieces == [b"%d" % i for i in range(1000)]
    assert (end.kind, end.head, end.payload) == (frames.END, b"\0\0", b"")
    assert replica.stream(b"0", id=2) == ([], frames.Frame(frames.END, 0, 2, b"\0\0", b""))
    replica.drain()
    assert replica.status() == 0


@pytest.mark.parametrize("source", [COUNT, ASYNC_COUNT])
def test_without_the_flag_pieces_are_joined(start, source):
    replica = start(source).started()
    answer = replica.ask(b"12")
    assert (answer.kind, answer.flags, answer.payload) == (frames.REPLY, 0, b"01234567891011")
    assert replica.reply(b"0", id=2) == b""


@pytest.mark.parametrize("keyword", ["def", "async def"])
@pytest.mark.parametrize(
    "pieces, flags", [("'a', '\\u20ac'", frames.TEXT), ("'a', b'b'", 0), ("bytearray(b'a'), b'b'", 0)])
def test_joined_pieces_are_text_when_all_are(start, keyword, pieces, flags):
    source = f"{keyword} Handler(req):\n    for piece in [{pieces}]: yield piece\n"
    assert start(source).started().ask().flags == flags


def test_each_piece_tells_whether_it_is_text(start):
    replica = start("def Handler(req):\n    yield 'text'\n    yield b'bytes'\n"
                    "    yield memoryview(b'view')\n").started()
    replica.send(frames.call(1, flags=frames.STREAM))
    got = [replica.receive() for _ in range(4)]
    assert [(answer.kind, answer.flags, answer.payload) for answer in got[:3]] == [
        (frames.PIECE, frames.TEXT, b"text"), (frames.PIECE, 0, b"bytes"), (frames.PIECE, 0, b"view")]


@pytest.mark.parametrize("expression", ["iter([b'a', b'b'])", "map(bytes, [[97], [98]])", "(x for x in [b'a', b'b'])"])
def test_any_iterator_streams(start, each_python, expression):
    replica = start(handler(f"return {expression}"), python=each_python).started()
    assert replica.stream()[0] == [b"a", b"b"]
    assert replica.reply(id=2) == b"ab"


def test_a_whole_reply_to_a_call_that_may_stream(start):
    answer = start(handler("return b'whole'")).started().stream()[1]
    assert (answer.kind, answer.payload) == (frames.REPLY, b"whole")


@pytest.mark.parametrize("keyword, sleep", [("def", "time.sleep"), ("async def", "await asyncio.sleep")])
def test_a_piece_leaves_as_soon_as_it_is_made(start, keyword, sleep):
    """The handler makes the second piece only after the first has come."""
    replica = start(f"import asyncio, os, time\n{keyword} Handler(req):\n    yield b'first'\n"
                    f"    while not os.path.exists('go'): {sleep}(0.001)\n    yield b'second'\n").started()
    replica.send(frames.call(1, flags=frames.STREAM))
    assert replica.receive().payload == b"first"
    (replica.folder / "go").touch()
    assert replica.receive().payload == b"second"
    assert replica.receive().kind == frames.END


def test_stragglers_leave_while_the_generator_works(start):
    """Pieces that are made fast are written together, but do not wait for the next one."""
    replica = start("import os, time\ndef Handler(req):\n    for i in range(50): yield b'%d' % i\n"
                    "    while not os.path.exists('go'): time.sleep(0.001)\n").started()
    replica.send(frames.call(1, flags=frames.STREAM))
    assert [replica.receive().payload for _ in range(50)] == [b"%d" % i for i in range(50)]
    (replica.folder / "go").touch()
    assert replica.receive().kind == frames.END


ENDLESS = """
import asyncio, os
class Handler:
    made = 0
    {keyword} __call__(self, req):
        try:
            while True:
                self.made += 1
                yield b"x" * 1024
        finally:
            open("closed", "w").write(str(self.made))
"""


def nothing_comes(replica, seconds=0.1):
    return not replica._buffer and not select.select([replica.link], [], [], seconds)[0]


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_credit_pauses_the_generator(start, each_python, keyword):
    replica = start(ENDLESS.format(keyword=keyword), python=each_python).started()
    replica.send(frames.call(1, flags=frames.STREAM))
    for _ in range(256):
        assert replica.receive().kind == frames.PIECE
    assert nothing_comes(replica)
    replica.send(frames.credit(1, 3 * 1024))
    for _ in range(3):
        assert replica.receive().kind == frames.PIECE
    assert nothing_comes(replica)
    # The caller has gone: the generator is closed before its end.
    replica.send(frames.cancel(1))
    error = frames.Error.of(replica.receive())
    assert (error.code, error.executed) == (frames.CANCELLED, frames.YES)
    # At most one piece was made ahead.
    assert int((replica.folder / "closed").read_text()) in (259, 260)
    replica.drain()
    assert replica.status() == 0


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_a_cancel_between_pieces_closes_the_generator(start, keyword):
    replica = start(ENDLESS.format(keyword=keyword)).started()
    replica.send(frames.call(1, flags=frames.STREAM))
    got = 0
    while True:
        answer = replica.receive()
        if answer.kind == frames.ERROR:
            break
        got += 1
        if got < 5000:
            replica.send(frames.credit(1, 1024))
        elif got == 5000:
            replica.send(frames.credit(1, 1 << 30), frames.cancel(1))
    assert frames.Error.of(answer).code == frames.CANCELLED
    assert (replica.folder / "closed").exists()


def test_a_large_piece_may_overdraw_the_credit(start):
    replica = start("def Handler(req):\n    yield b'x' * 1_000_000\n    yield b'y'\n", max_body=1 << 20).started()
    replica.send(frames.call(1, flags=frames.STREAM))
    assert len(replica.receive().payload) == 1_000_000
    assert nothing_comes(replica)
    replica.send(frames.credit(1, 1_000_000))
    assert replica.receive().payload == b"y"


@pytest.mark.parametrize("flags", [0, frames.STREAM])
@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_an_exception_midway(start, each_python, keyword, flags):
    replica = start(f"{keyword} Handler(req):\n    yield b'1'\n    yield b'2'\n    raise ValueError('midway')\n",
                    python=each_python).started()
    replica.send(frames.call(1, flags=flags))
    if flags:
        assert [replica.receive().payload for _ in range(2)] == [b"1", b"2"]
    error = frames.Error.of(replica.receive())
    assert (error.code, error.executed) == (frames.UNKNOWN, frames.YES)
    assert error.message.split("\n")[0] == "ValueError: midway (handler.py:4 in Handler)"
    assert error.traceback.endswith("ValueError: midway\n") and "<dcf>" not in error.traceback


@pytest.mark.parametrize("flags", [0, frames.STREAM])
@pytest.mark.parametrize("keyword", ["def", "async def"])
@pytest.mark.parametrize("value, words", [
    ("7", "the handler yielded an int as piece 3; a piece is str, bytes or another bytes-like object"),
    ("None", "the handler yielded None as piece 3; "),
    ("{}", "the handler yielded a dict as piece 3; "),
    ("'\\ud800'", "the handler yielded text as piece 3 that is not valid Unicode"),
])
def test_a_piece_of_a_wrong_type(start, keyword, value, words, flags):
    replica = start(f"{keyword} Handler(req):\n    try:\n        yield b'1'\n        yield b'2'\n"
                    f"        yield {value}\n"
                    "    finally: print('closed', flush=True)\n").started()
    replica.send(frames.call(1, flags=flags))
    if flags:
        assert [replica.receive().payload for _ in range(2)] == [b"1", b"2"]
    error = frames.Error.of(replica.receive())
    assert (error.code, error.executed) == (frames.INTERNAL, frames.YES)
    assert error.message.startswith(words)
    replica.out.wait_for(b"closed\n")
    replica.err.wait_for(words.encode())


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_joined_pieces_above_the_limit(start, keyword):
    """The generator, which has no end, is closed at the limit."""
    replica = start(ENDLESS.format(keyword=keyword), max_body=100_000).started()
    error = replica.error()
    assert (error.code, error.executed) == (frames.RESOURCE_EXHAUSTED, frames.YES)
    assert error.message == "the reply has 100352 bytes, the limit is 100000"
    assert (replica.folder / "closed").exists()


def test_one_piece_above_the_limit(start):
    source = "def Handler(req):\n    yield b'a'\n    yield b'x' * 100_001\n"
    pieces, answer = start(source, max_body=100_000).started().stream()
    assert pieces == [b"a"]
    assert frames.Error.of(answer).code == frames.RESOURCE_EXHAUSTED


def test_a_generator_that_will_not_close(start):
    replica = start("def Handler(req):\n    while True:\n        try:\n            yield b'x' * 1000\n"
                    "        except GeneratorExit: pass\n").started()
    replica.send(frames.call(1, flags=frames.STREAM), frames.cancel(1))
    while (answer := replica.receive()).kind == frames.PIECE:
        pass
    assert frames.Error.of(answer).code == frames.CANCELLED
    replica.err.wait_for(b"generator ignored GeneratorExit")
    replica.drain()
    assert replica.status() == 0


@pytest.mark.parametrize("source", [COUNT, ASYNC_COUNT])
def test_a_drain_finishes_streams(start, source):
    replica = start(source).started()
    replica.send(*[frames.call(id, b"200", flags=frames.STREAM) for id in (1, 2, 3)], frames.frame(frames.DRAIN))
    ends = []
    while len(ends) < 3:
        answer = replica.receive()
        if answer.kind == frames.END:
            ends.append(answer.id)
    assert sorted(ends) == [1, 2, 3]
    assert replica.ended() and replica.status() == 0


def test_many_pieces_come_whole(start):
    """10,000 pieces, read in bulk: the bytes of all frames, and not one more."""
    replica = start("def Handler(req):\n    piece = b'x' * 1024\n    for i in range(10_000): yield piece\n").started()
    replica.send(frames.call(1, flags=frames.STREAM))
    got = 0
    size = frames.HEADER.size + 1024
    total = 10_000 * size + frames.HEADER.size + 2
    data = bytearray(1 << 20)
    while got < total:
        count = replica.link.recv_into(data)
        assert count
        replica.send(frames.credit(1, count))
        got += count
    assert got == total
    assert replica.reply(id=2) == b"x" * 1024 * 10_000


def test_streams_on_threads_at_once(start):
    replica = start(COUNT, settings=settings(concurrency=4)).started()
    replica.send(*[frames.call(id, b"300", flags=frames.STREAM) for id in range(1, 9)])
    pieces, ends = {id: [] for id in range(1, 9)}, 0
    while ends < 8:
        answer = replica.receive()
        if answer.kind == frames.PIECE:
            pieces[answer.id].append(answer.payload)
        else:
            assert answer.kind == frames.END
            ends += 1
    assert all(each == [b"%d" % i for i in range(300)] for each in pieces.values())
    replica.drain()
    assert replica.status() == 0
