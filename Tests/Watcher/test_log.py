"""The output of a handler is written to its log in lines, each with its request."""
import pytest

import frames
from test_calls import handler


def lines_of(start, python, body, ask=1, stream="out"):
    """All output of a handler with this body after so many calls."""
    replica = start("import sys, os, threading, logging, io, asyncio\n" + handler(body), python=python).started()
    for id in range(1, ask + 1):
        replica.ask(b"%d" % id, id=id)
    replica.drain()
    assert replica.status() == 0
    return getattr(replica, stream).all()


@pytest.mark.parametrize("body, expected", [
    ("print('one', 2)", b"\x1erequest-1\x1fone 2\n"),
    ("print('flushed', flush=True)", b"\x1erequest-1\x1fflushed\n"),
    ("print('a\\nb')", b"\x1erequest-1\x1fa\n\x1erequest-1\x1fb\n"),
    ("print('no end', end='')", b"\x1erequest-1\x1fno end\n"),
    ("print()", b"\x1erequest-1\x1f\n"),
    ("print('J\\u00f6rg \\ud800')", "\x1erequest-1\x1fJ\u00f6rg \\ud800\n".encode()),
    ("sys.stdout.buffer.write(b'\\xff\\xfe\\n')", b"\x1erequest-1\x1f\xff\xfe\n"),
    ("sys.stdout.writelines(['a', 'b', '\\n'])", b"\x1erequest-1\x1fab\n"),
    ("sys.stdout.write('12'); sys.stdout.flush(); sys.stdout.write('34\\n')", b"\x1erequest-1\x1f1234\n"),
    ("sys.__stdout__.write('old\\n')", b"\x1erequest-1\x1fold\n"),
    ("io.TextIOWrapper(sys.stdout.buffer, line_buffering=True).write('wrapped\\n')", b"\x1erequest-1\x1fwrapped\n"),
    ("async def f(): print('task')\nasyncio.run(f())", b"\x1erequest-1\x1ftask\n"),
    ("t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()", b"thread\n"),
    ("print(sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.isatty(), sys.stdout.encoding, sys.stdout.name)",
     b"\x1erequest-1\x1f1 2 False utf-8 <stdout>\n"),
    ("sys.stdout.reconfigure(encoding='ascii'); print('fine')", b"\x1erequest-1\x1ffine\n"),
    ("assert sys.stdout.writable() and not sys.stdout.closed and not sys.stdout.readable(); print(1)",
     b"\x1erequest-1\x1f1\n"),
])
def test_lines(start, each_python, body, expected):
    assert lines_of(start, each_python, body) == expected


def test_to_thread_keeps_the_request(start, python):
    body = "async def f(): await asyncio.to_thread(print, 'there')\nasyncio.run(f())"
    assert lines_of(start, python, body) == b"\x1erequest-1\x1fthere\n"


def test_each_line_has_its_own_request(start, python):
    body = "print('began', end=' ')\nprint(req.input.decode(), end='')\nreturn b''"
    assert lines_of(start, python, body, ask=2) == b"\x1erequest-1\x1fbegan 1\n\x1erequest-2\x1fbegan 2\n"


def test_logging_and_warnings(start, each_python):
    body = "import warnings\nlogging.warning('plain')\nwarnings.warn('careful')"
    log = lines_of(start, each_python, body, stream="err")
    assert b"\x1erequest-1\x1fWARNING:root:plain\n" in log
    assert b"UserWarning: careful\n" in log


def test_an_unfinished_line_is_written_when_nothing_else_is_to_do(start):
    replica = start(handler("print('waiting', end='')\nreturn b''")).started()
    replica.reply()
    assert replica.out.wait_for(b"\n") == b"\x1erequest-1\x1fwaiting\n"


def test_a_very_long_line_is_cut(start, python):
    body = "print('x' * 30_000_000)\nprint('next')"
    first, second, rest = lines_of(start, python, body).split(b"\n")
    assert first.startswith(b"\x1erequest-1\x1fxxx") and first.endswith(b"x [cut: a log line holds 64 KiB]")
    assert 64_000 < len(first) < 65_536
    assert (second, rest) == (b"\x1erequest-1\x1fnext", b"")


def test_a_very_long_line_in_pieces_is_cut(start, python):
    body = "for _ in range(200): sys.stdout.write('y' * 10_000)\nsys.stdout.write('end\\nnext\\n')"
    first, second, rest = lines_of(start, python, body).split(b"\n")
    assert first.endswith(b"y [cut: a log line holds 64 KiB]")
    assert (second, rest) == (b"\x1erequest-1\x1fnext", b"")


def test_many_lines_at_once(start, python):
    body = "print('\\n'.join(str(i) for i in range(20_000)))"
    lines = lines_of(start, python, body).split(b"\n")
    assert lines == [b"\x1erequest-1\x1f%d" % i for i in range(20_000)] + [b""]


def test_lines_of_threads_stay_whole(start, python):
    body = """def work(name):
    for i in range(500): print(name * 100)
threads = [threading.Thread(target=work, args=(c,)) for c in 'abcd']
[t.start() for t in threads]
[t.join() for t in threads]"""
    lines = lines_of(start, python, body).split(b"\n")
    # print writes the text and the newline in two steps, so two texts may share a line.
    assert sum(len(line) for line in lines) == 200_000
    assert all(set(line) <= set(b"abcd") for line in lines)


def test_a_log_that_is_not_read_blocks_nobody_else(start):
    replica = start(handler("print('x' * 1000)\nreturn b'fine'")).started()
    for id in range(1, 300):
        assert replica.reply(id=id) == b"fine"


def test_a_request_id_of_any_text(start):
    replica = start(handler("print('here')\nreturn b''")).started()
    replica.ask(request_id="a b/\u00e9")
    assert replica.out.wait_for(b"\n") == "\x1ea b/\u00e9\x1fhere\n".encode()
    replica.ask(request_id=b"\xff")
    replica.out.wait_for("\x1e\ufffd\x1fhere\n".encode())
    replica.send(frames.frame(frames.DRAIN))
