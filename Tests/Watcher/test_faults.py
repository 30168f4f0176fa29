"""Handlers that misbehave: their callers get the documented answer, and the link keeps working."""
import os
import signal

import pytest

import frames
from test_calls import handler


def test_a_handler_that_raises(start, each_python):
    replica = start("""
class Handler:
    def __call__(self, req):
        return self.divide(1, int(req.input))

    def divide(self, a, b):
        return b"%d" % (a / b)
""", python=each_python).started()
    error = replica.error(b"0")
    assert (error.code, error.executed) == (frames.UNKNOWN, frames.YES)
    lines = error.message.split("\n")
    assert lines[0] == "ZeroDivisionError: division by zero (handler.py:7 in divide)"
    assert any("line 4, in __call__" in line for line in lines[1:])
    assert error.traceback.startswith("Traceback (most recent call last):\n")
    assert error.traceback.endswith("ZeroDivisionError: division by zero\n")
    assert "<dcf>" not in error.traceback
    log = replica.err.wait_for(b"ZeroDivisionError").decode()
    assert log == "".join(f"\x1erequest-1\x1f{line}\n" for line in error.traceback.splitlines())
    assert replica.reply(b"1", id=2) == b"1"


@pytest.mark.parametrize("statement, headline", [
    ("import sys; sys.exit(3)", "SystemExit: 3 (handler.py:3 in __call__)"),
    ("raise SystemExit", "SystemExit (handler.py:3 in __call__)"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt (handler.py:3 in __call__)"),
    ("import json; json.loads('{')", None),
    ("class E(Exception):\n    def __str__(self): raise ValueError\nraise E", None),
    ("raise Exception('x' * 100000)", None),
    ("raise Exception('\\u20ac%' * 1000)", None),
    ("f = lambda n: f(n + 1)\nf(0)", None),
    ("raise Exception('\\ud800')", None),
    ("eval('1 +')", None),
    ("raise Exception(chr(10).join('abc'))", None),
])
def test_exceptions_become_short_messages(start, each_python, statement, headline):
    replica = start(handler(statement), python=each_python).started()
    error = replica.error()
    assert (error.code, error.executed) == (frames.UNKNOWN, frames.YES)
    encoded = sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in error.message.encode())
    assert encoded < 1600
    assert "handler.py:" in error.message
    assert len(error.traceback) < 200_000
    if headline is not None:
        assert error.message.split("\n")[0] == headline
    assert replica.error(id=2).code == frames.UNKNOWN


def test_an_exception_inside_a_library_names_the_authors_line(start):
    error = start(handler("import json\nreturn json.loads(req.input)")).started().error(b"{")
    assert error.message.split("\n")[0].endswith("(handler.py:4 in __call__)")
    assert error.message.startswith("json.decoder.JSONDecodeError: ")


@pytest.mark.parametrize("expression, wanted", [
    ("None", "the handler returned None; a reply is str, bytes or another bytes-like object: is a return missing?"),
    ("7", "the handler returned an int;"),
    ("3.5", "the handler returned a float;"),
    ("{'a': 1}", "json.dumps"),
    ("[1]", "json.dumps"),
    ("coroutine()", "the handler returned a coroutine; a reply is str, bytes or another bytes-like object: "
                    "write async def __call__, or await it"),
    ("pieces()", "the handler returned an async_generator; a reply is str, bytes or another bytes-like object: "
                 "write async def __call__ for replies in asynchronous pieces"),
    ("'\\ud800'", "not valid Unicode"),
    ("memoryview(b'abcdef')[::2]", "bytes(reply)"),
    ("__import__('ctypes').c_int(5)", "the handler returned a c_int;"),
    ("object()", "the handler returned an object;"),
])
def test_replies_of_a_wrong_type(start, each_python, expression, wanted):
    source = "async def coroutine(): pass\nasync def pieces(): yield\n" + handler(f"return {expression}")
    replica = start(source, python=each_python).started()
    error = replica.error()
    assert (error.code, error.executed) == (frames.INTERNAL, frames.YES)
    assert wanted in error.message
    replica.err.wait_for(error.message.encode())


def test_a_reply_above_the_limit(start):
    replica = start(handler("return b'x' * int(req.input)"), max_body=100_000).started()
    assert len(replica.reply(b"100000")) == 100_000
    error = replica.error(b"100001")
    assert (error.code, error.executed) == (frames.RESOURCE_EXHAUSTED, frames.YES)
    assert error.message == "the reply has 100001 bytes, the limit is 100000"


@pytest.mark.parametrize("statement, status", [
    ("import os; os._exit(9)", 9),
    ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ("import os; os.abort()", -signal.SIGABRT),
])
def test_a_handler_that_ends_the_process(start, each_python, statement, status):
    replica = start(handler(f"if req.input: return req.input\n{statement}"), python=each_python).started()
    replica.send(frames.call(1, b"before"), frames.call(2), frames.call(3, b"after"))
    answers = []
    while True:
        try:
            answers.append(replica.receive())
        except (EOFError, ConnectionError):
            break
    assert [answer.id for answer in answers] in ([], [1])
    assert replica.status() == status
    if status in (-signal.SIGSEGV, -signal.SIGABRT):
        assert b"handler.py\", line 4 in __call__" in replica.err.all()


@pytest.mark.parametrize("first", [0, 3])
def test_a_handler_that_closes_every_descriptor(start, each_python, first):
    source = handler(f"import os\nos.closerange({first}, 65536)\nreturn b'closed'")
    replica = start(source, python=each_python).started()
    replica.send(frames.call(1))
    # The guard's thread has its own descriptor of the link: on a busy machine it may send the reply before the end.
    assert replica.ended() or replica.ended()
    assert replica.status() == 70
    if first:
        assert replica.err.all() == b"dcf-watcher: the handler closed the descriptor of the link to the gateway\n"


def test_a_handler_that_closes_every_descriptor_and_hangs_ends_with_the_link(start):
    replica = start(handler("import os, time\nos.closerange(3, 65536)\nprint('closed')\ntime.sleep(600)")).started()
    replica.send(frames.call(1))
    replica.out.wait_for(b"closed\n")
    replica.link.close()
    assert replica.status() == -signal.SIGKILL


def test_a_handler_that_closes_its_standard_streams(start):
    replica = start(handler("""import os, sys
sys.stdout.close(); sys.stderr.close(); os.close(1); os.close(2)
print("lost", flush=True); sys.stderr.write("lost\\n")
if not req.input: raise ValueError
return req.input""")).started()
    assert replica.reply(b"fine") == b"fine"
    assert replica.error(id=2).code == frames.UNKNOWN


def test_a_forked_child_never_answers(start, each_python):
    """A forked child returns from the handler as its parent does; it has the same link."""
    replica = start(handler("""import os
pid = os.fork()
print("child" if pid == 0 else "parent")
if pid:
    os.waitpid(pid, 0)
return str(pid)"""), python=each_python).started()
    for id in range(1, 6):
        replica.send(frames.call(id))
        answer = replica.receive()
        assert answer.id == id and int(answer.payload) > 0
    replica.drain()
    assert replica.status() == 0
    assert replica.ended()
    assert replica.out.all().count(b"child\n") == 5


def test_a_forked_child_that_raises_is_in_the_log(start):
    replica = start(handler("""import os
if os.fork() == 0:
    raise ValueError("in the child")
return str(os.WEXITSTATUS(os.wait()[1]))""")).started()
    assert replica.reply() == b"1"
    replica.err.wait_for(b"ValueError: in the child")


def test_a_forked_child_does_not_hold_the_link_open(start):
    replica = start(handler("""import os, time
if os.fork() == 0:
    time.sleep(600)
return b'forked'""")).started()
    assert replica.reply() == b"forked"
    replica.drain()
    assert replica.ended()


def test_multiprocessing(start, each_python):
    replica = start("""
import multiprocessing
def square(x):
    print("squaring", x)
    return x * x
class Handler:
    def __call__(self, req):
        with multiprocessing.get_context(req.input.decode()).Pool(2) as pool:
            return str(pool.map(square, range(4)))
""", python=each_python).started()
    for id, method in enumerate((b"fork", b"spawn"), 1):
        assert replica.reply(method, id=id) == b"[0, 1, 4, 9]"


def test_threads_and_executors(start, each_python):
    replica = start("""
import concurrent.futures, threading, time
class Handler:
    def __init__(self):
        threading.Thread(target=self.tick, daemon=True).start()
    def tick(self):
        while True:
            time.sleep(0.001)
    def __call__(self, req):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return b"".join(pool.map(bytes, [[i] for i in req.input]))
""", python=each_python).started()
    for id in range(1, 20):
        assert replica.reply(b"abcdef", id=id) == b"abcdef"
    replica.drain()
    assert replica.status() == 0


def test_raw_writes_to_standard_output_reach_only_the_log(start):
    replica = start(handler("import os\nos.write(1, b'raw\\n')\nos.system('echo shell')\nreturn b'fine'")).started()
    assert replica.reply() == b"fine"
    assert replica.out.wait_for(b"shell\n") == b"raw\nshell\n"


def test_a_handler_with_its_own_sigterm(start):
    replica = start("import signal\nsignal.signal(signal.SIGTERM, lambda *_: print('no', flush=True))\n"
                    "def Handler(req): return b'still here'\n").started()
    os.kill(replica.process.pid, signal.SIGTERM)
    replica.out.wait_for(b"no\n")
    assert replica.reply() == b"still here"
    replica.link.close()
    assert replica.status() == -signal.SIGKILL


def test_a_signal_handler_that_exits_while_idle(start):
    replica = start("import atexit, signal, sys\natexit.register(print, 'goodbye')\n"
                    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))\ndef Handler(req): return b''\n").started()
    os.kill(replica.process.pid, signal.SIGTERM)
    assert replica.status() == 4
    assert replica.out.all() == b"goodbye\n"


def test_signals_that_a_watcher_knows(start):
    replica = start(handler("return b''")).started()
    os.kill(replica.process.pid, signal.SIGINT)
    assert replica.reply() == b""
    os.kill(replica.process.pid, signal.SIGTERM)
    assert replica.status() == -signal.SIGTERM


def test_importing_modules_that_the_runtime_uses_or_imitates(start, each_python):
    replica = start("import faulthandler, json, logging, multiprocessing, signal, threading, traceback, asyncio\n"
                    "def Handler(req):\n    return asyncio.run(work())\nasync def work(): return b'done'\n",
                    python=each_python).started()
    assert replica.reply() == b"done"
