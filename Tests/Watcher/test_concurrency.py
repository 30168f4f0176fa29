"""Several calls at once: on threads, and on an event loop."""
import os
import signal

import pytest

import frames
from replica import once, settings

MEET = """
import threading
class Handler:
    def __init__(self):
        self.all_here = threading.Barrier(4, timeout=30)
    def __call__(self, req):
        self.all_here.wait()
        return threading.current_thread().name
"""

ASYNC_MEET = """
import asyncio
class Handler:
    def __init__(self):
        self.here, self.all_here = 0, asyncio.Event()
    async def __call__(self, req):
        self.here += 1
        if self.here == 4: self.all_here.set()
        await self.all_here.wait()
        return "together"
"""


def answers(replica, count):
    return {answer.id: answer for answer in (replica.receive() for _ in range(count))}


@pytest.mark.parametrize("source", [MEET, ASYNC_MEET])
def test_so_many_calls_run_at_once(start, each_python, source):
    replica = start(source, python=each_python, settings=settings(concurrency=4)).started()
    replica.send(*[frames.call(id) for id in range(1, 5)])
    got = answers(replica, 4)
    assert all(answer.kind == frames.REPLY for answer in got.values())
    if source == MEET:
        assert {answer.payload for answer in got.values()} == {b"handler-%d" % i for i in range(1, 5)}
    replica.drain()
    assert replica.status() == 0


COUNTING = """
import asyncio, threading, time
class Handler:
    now = most = 0
    lock = threading.Lock()
    {prefix}def __call__(self, req):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        {sleep}(0.002)
        with self.lock:
            self.now -= 1
        return str(self.most)
"""


@pytest.mark.parametrize("prefix, sleep", [("", "time.sleep"), ("async ", "await asyncio.sleep")])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_run_at_once(start, prefix, sleep, concurrency):
    replica = start(COUNTING.format(prefix=prefix, sleep=sleep), settings=settings(concurrency=concurrency)).started()
    replica.send(*[frames.call(id) for id in range(1, 61)])
    got = answers(replica, 60)
    assert max(int(answer.payload) for answer in got.values()) == concurrency


@pytest.mark.parametrize("source", [
    "def Handler(req): return req.input", "async def Handler(req): return req.input",
    "class Handler:\n    async def __call__(self, req): return req.input",
    "class K:\n    async def __call__(self, req): return req.input\nHandler = K()",
    "import functools\nasync def f(a, req): return req.input\nHandler = functools.partial(f, 1)",
    "class Base:\n    async def __call__(self, req): return req.input\nclass Handler(Base): pass",
    "class Handler:\n    @staticmethod\n    async def __call__(req): return req.input",
])
def test_echo(start, source):
    replica = start(source, settings=settings(concurrency=4)).started()
    lengths = [0, 1, 15_000, 16_384, 65_536, 163_840, 3_000_000] * 4
    replica.send(*[frames.call(id, b"%d" % (id % 10) * length) for id, length in enumerate(lengths, 1)])
    got = answers(replica, len(lengths))
    for id, length in enumerate(lengths, 1):
        assert got[id].payload == b"%d" % (id % 10) * length
    replica.drain()
    assert replica.status() == 0


@pytest.mark.parametrize("prefix", ["", "async "])
def test_many_short_calls(start, each_python, prefix):
    replica = start(f"{prefix}def Handler(req): return req.input", python=each_python,
                    settings=settings(concurrency=8)).started()
    done = 0
    for begin in range(0, 5_000, 50):
        replica.send(*[frames.call(id, b"%d" % id) for id in range(begin + 1, begin + 51)])
        got = answers(replica, 50)
        done += sum(got[id].payload == b"%d" % id for id in got)
    assert done == 5_000


LOGGING = """
import asyncio, threading, time, dcf
class Handler:
    def __init__(self):
        self.turn = threading.Barrier(2, timeout=30)
    def __call__(self, req):
        for i in range(50):
            if i % 10 == 0: self.turn.wait()
            print("line", dcf.current_request_id())
        return dcf.current_request_id()
"""

ASYNC_LOGGING = """
import asyncio, dcf
class Handler:
    async def __call__(self, req):
        for i in range(50):
            print("line", dcf.current_request_id())
            await asyncio.sleep(0)
        await asyncio.to_thread(print, "line", req.request_id)
        assert await asyncio.to_thread(dcf.current_request_id) == req.request_id
        async def task(): print("line", dcf.current_request_id())
        await asyncio.gather(task(), asyncio.create_task(task()))
        return dcf.current_request_id()
"""


@pytest.mark.parametrize("source", [LOGGING, ASYNC_LOGGING])
def test_each_line_has_its_own_request(start, each_python, source):
    replica = start(source, python=each_python, settings=settings(concurrency=2)).started()
    replica.send(frames.call(1), frames.call(2))
    got = answers(replica, 2)
    assert {id: answer.payload for id, answer in got.items()} == {1: b"request-1", 2: b"request-2"}, got
    replica.drain()
    assert replica.status() == 0
    lines = replica.out.all().split(b"\n")[:-1]
    assert len(lines) >= 100
    for line in lines:
        assert line in (b"\x1erequest-1\x1fline request-1", b"\x1erequest-2\x1fline request-2")


@pytest.mark.parametrize("prefix", ["", "async "])
def test_an_unfinished_line_ends_with_its_request(start, prefix):
    replica = start(f"{prefix}def Handler(req):\n    print('no end', end='')\n    return b''",
                    settings=settings(concurrency=2)).started()
    replica.ask()
    assert replica.out.wait_for(b"\n") == b"\x1erequest-1\x1fno end\n"


@pytest.mark.parametrize("statement, headline", [
    ("raise ValueError('bad')", "ValueError: bad (handler.py:2 in Handler)"),
    ("import sys; sys.exit(3)", "SystemExit: 3 (handler.py:2 in Handler)"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt (handler.py:2 in Handler)"),
])
@pytest.mark.parametrize("prefix", ["", "async "])
def test_exceptions(start, each_python, prefix, statement, headline):
    replica = start(f"{prefix}def Handler(req):\n    {statement}\n", python=each_python,
                    settings=settings(concurrency=2)).started()
    for id in (1, 2):
        error = replica.error(id=id)
        assert (error.code, error.executed) == (frames.UNKNOWN, frames.YES)
        assert error.message.split("\n")[0] == headline
        assert "<dcf>" not in error.traceback
    replica.drain()
    assert replica.status() == 0
    assert b"never retrieved" not in replica.err.all()


@pytest.mark.parametrize("prefix", ["", "async "])
@pytest.mark.parametrize("value", ["None", "7", "{}"])
def test_wrong_replies(start, prefix, value):
    replica = start(f"{prefix}def Handler(req): return {value}", settings=settings(concurrency=2)).started()
    assert replica.error().code == frames.INTERNAL


def test_a_recall_leaves_what_runs(start):
    replica = start("import os, time\ndef Handler(req):\n    print('begun', req.request_id, flush=True)\n"
                    "    while not os.path.exists('go'): time.sleep(0.001)\n    return b''\n",
                    settings=settings(concurrency=2)).started()
    replica.send(*[frames.call(id) for id in range(1, 5)])
    replica.out.wait_for(b"begun request-1\n"), replica.out.wait_for(b"begun request-2\n")
    replica.send(frames.frame(frames.RECALL))
    assert frames.returned(replica.receive()) == [3, 4]
    (replica.folder / "go").touch()
    assert set(answers(replica, 2)) == {1, 2}


@pytest.mark.parametrize("prefix, sleep", [("", "time.sleep"), ("async ", "await asyncio.sleep")])
def test_a_drain_finishes_what_was_received(start, prefix, sleep):
    replica = start(COUNTING.format(prefix=prefix, sleep=sleep), settings=settings(concurrency=3)).started()
    replica.send(*[frames.call(id) for id in range(1, 31)], frames.frame(frames.DRAIN))
    assert len(answers(replica, 30)) == 30
    assert replica.ended() and replica.status() == 0


@pytest.mark.parametrize("prefix", ["", "async "])
def test_forked_children_never_answer(start, each_python, prefix):
    replica = start(f"import os\n{prefix}def Handler(req):\n    pid = os.fork()\n"
                    "    if pid: os.waitpid(pid, 0)\n    else: os._exit(0)\n    return str(pid)\n",
                    python=each_python, settings=settings(concurrency=3)).started()
    replica.send(*[frames.call(id) for id in range(1, 13)])
    assert all(int(answer.payload) > 0 for answer in answers(replica, 12).values())
    replica.drain()
    assert replica.status() == 0


@pytest.mark.parametrize("prefix", ["", "async "])
def test_a_forked_child_that_returns(start, prefix):
    replica = start(f"import os\n{prefix}def Handler(req):\n    pid = os.fork()\n    if pid: os.waitpid(pid, 0)\n"
                    "    print('child' if pid == 0 else 'parent')\n    return str(pid)\n",
                    settings=settings(concurrency=2)).started()
    assert int(replica.reply()) > 0
    replica.drain()
    assert replica.status() == 0
    assert sorted(line.split(b"\x1f")[-1] for line in replica.out.all().split(b"\n")) == [b"", b"child", b"parent"]


@pytest.mark.parametrize("prefix", ["", "async "])
@pytest.mark.parametrize("batch", [None, {"max_size": 4, "retry": True}])
def test_a_forked_child_that_raises_is_in_the_log(start, prefix, batch):
    if prefix == "" and batch is None:
        pytest.skip("in test_faults")
    result = "[status] * len(req)" if batch else "status"
    replica = start(f"import os\n{prefix}def Handler(req):\n    if os.fork() == 0:\n"
                    "        raise ValueError('in the child')\n"
                    "    status = str(os.WEXITSTATUS(os.wait()[1]))\n"
                    f"    return {result}\n", settings=settings(batch=batch)).started()
    replica.send(frames.batch(frames.call(1), frames.call(2)) if batch else frames.call(1))
    assert replica.receive().payload == b"1"
    assert replica.err.wait_for(b"ValueError: in the child").count(b"Traceback") == 1


@pytest.mark.parametrize("prefix", ["", "async "])
def test_signal_handlers_of_the_author_run(start, prefix):
    replica = start(f"import signal\nsignal.signal(signal.SIGUSR1, lambda *_: print('noted', flush=True))\n"
                    f"{prefix}def Handler(req): return b'fine'\n", settings=settings(concurrency=2)).started()
    os.kill(replica.process.pid, signal.SIGUSR1)
    replica.out.wait_for(b"noted\n")
    assert replica.reply() == b"fine"


@pytest.mark.parametrize("prefix", ["", "async "])
def test_a_watcher_ends_with_the_link(start, prefix):
    replica = start(f"{prefix}def Handler(req): return b''", settings=settings(concurrency=2)).started()
    replica.reply()
    replica.link.close()
    assert replica.status() == -signal.SIGKILL


@pytest.mark.parametrize("prefix", ["", "async "])
def test_garbage_on_the_link(start, prefix):
    replica = start(f"{prefix}def Handler(req): return b''", settings=settings(concurrency=2)).started()
    replica.send(frames.frame(77))
    assert replica.status() == 70
    assert b"unknown frame 77" in replica.err.all()


@pytest.mark.parametrize("prefix", ["", "async "])
def test_a_handler_that_closes_every_descriptor(start, each_python, prefix):
    replica = start(f"import os\n{prefix}def Handler(req):\n    os.closerange(3, 65536)\n    return b'x'\n",
                    python=each_python, settings=settings(concurrency=2)).started()
    replica.send(frames.call(1))
    assert replica.status() != 0


# The event loop.

def test_a_cancel_ends_the_task(start, each_python):
    replica = start("""
import asyncio
class Handler:
    async def __call__(self, req):
        print("begun", req.request_id, flush=True)
        try:
            await asyncio.sleep(600)
        finally:
            print("ended", req.cancelled, flush=True)
""", python=each_python, settings=settings(concurrency=2, cancel="raise")).started()
    replica.send(frames.call(1), frames.call(2))
    replica.out.wait_for(b"begun request-2\n")
    replica.send(frames.cancel(2))
    answer = replica.receive()
    assert answer.id == 2
    error = frames.Error.of(answer)
    assert (error.code, error.executed) == (frames.CANCELLED, frames.YES)
    assert replica.out.wait_for(b"ended").endswith(b"\x1erequest-2\x1fended True\n")


def test_without_cancel_raise_a_task_only_sees_it(start):
    replica = start("""
import asyncio
async def Handler(req):
    print("begun", flush=True)
    while not req.cancelled:
        await asyncio.sleep(0.01)
    return b"seen"
""").started()
    replica.send(frames.call(1))
    replica.out.wait_for(b"begun\n")
    replica.send(frames.cancel(1))
    assert replica.receive().payload == b"seen"


def test_an_overrun_ends_the_task_and_tells_where_it_was(start, each_python):
    replica = start("import asyncio\nasync def Handler(req):\n    if req.input: return req.input\n"
                    "    await asyncio.sleep(600)\n", python=each_python).started()
    error = replica.error(micros=300_000)
    assert (error.code, error.executed) == (frames.DEADLINE_EXCEEDED, frames.YES)
    assert b'handler.py", line 4, in Handler' in replica.err.wait_for(b"in Handler")
    assert replica.reply(b"fine", id=2) == b"fine"


def test_a_task_that_will_not_be_cancelled(start):
    replica = start("import asyncio\nasync def Handler(req):\n    print('begun', flush=True)\n"
                    "    try: await asyncio.sleep(600)\n    except asyncio.CancelledError: return 'not me'\n",
                    settings=settings(cancel="raise")).started()
    replica.send(frames.call(1))
    replica.out.wait_for(b"begun\n")
    replica.send(frames.cancel(1))
    assert replica.receive().payload == b"not me"


#: Seconds of work that blocks an event loop for much longer than the 0.5 s that the watcher allows.
BLOCKS = 1.2


@pytest.mark.alone
def test_a_blocked_loop_is_told(start):
    replica = start("import time\nasync def Handler(req):\n    print('begun', flush=True)\n"
                    "    time.sleep(float(req.input))\n    return b''\n", settings=settings(concurrency=2)).started()
    replica.send(frames.call(1, str(BLOCKS).encode()))
    replica.out.wait_for(b"begun\n")
    replica.send(frames.call(2, b"0"))
    assert len(answers(replica, 2)) == 2
    replica.drain()
    assert replica.status() == 0
    lines = replica.err.all().decode().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("dcf-watcher: the event loop of the async handler has been blocked for more than 0.5 s")
    assert "asyncio.to_thread" in lines[0]


@pytest.mark.alone
def test_a_loop_that_one_of_several_begun_calls_blocks_is_told(start):
    """No call waits in the queue."""
    replica = start(f"import time\nasync def Handler(req):\n    time.sleep({BLOCKS})\n    return b''\n",
                    settings=settings(concurrency=2)).started()
    replica.send(frames.call(1), frames.call(2))
    assert len(answers(replica, 2)) == 2
    replica.drain()
    assert replica.status() == 0
    assert len(replica.err.all().decode().splitlines()) == 1


@pytest.mark.alone
def test_a_busy_loop_is_not_called_blocked(start):
    """Calls that wait for a place do not mean that it is blocked."""
    replica = start(f"import asyncio\nasync def Handler(req):\n    await asyncio.sleep({BLOCKS})\n    return b''\n",
                    settings=settings(concurrency=1)).started()
    replica.send(frames.call(1), frames.call(2))
    assert len(answers(replica, 2)) == 2
    replica.drain()
    assert replica.status() == 0
    assert replica.err.all() == b""


@pytest.mark.alone
def test_a_loop_that_waits_for_its_calls_is_not_called_blocked(start):
    replica = start(f"import asyncio\nasync def Handler(req):\n    await asyncio.sleep({BLOCKS})\n    return b''\n",
                    settings=settings(concurrency=4)).started()
    replica.send(frames.call(1), frames.call(2))
    assert len(answers(replica, 2)) == 2
    replica.drain()
    assert replica.status() == 0
    assert replica.err.all() == b""


def test_a_recall_while_the_loop_is_blocked(start):
    replica = start("import os, time\nasync def Handler(req):\n    print('begun', flush=True)\n"
                    "    while not os.path.exists('go'): time.sleep(0.001)\n    return b''\n",
                    settings=settings(concurrency=4)).started()
    replica.send(frames.call(1))
    replica.out.wait_for(b"begun\n")
    replica.send(frames.call(2), frames.call(3), frames.frame(frames.RECALL))
    assert frames.returned(replica.receive()) == [2, 3]
    (replica.folder / "go").touch()
    assert replica.receive().id == 1


def test_the_constructor_may_make_what_belongs_to_the_loop(start, each_python):
    """In Python 3.9 a lock belongs to the event loop that exists when the lock is made."""
    replica = start("""
import asyncio
class Handler:
    def __init__(self): self.lock = asyncio.Lock()
    async def __call__(self, req):
        async with self.lock:
            await asyncio.sleep(0)
            return b"fine"
""", python=each_python, settings=settings(concurrency=8)).started()
    replica.send(*[frames.call(id) for id in range(1, 20)])
    assert all(answer.payload == b"fine" for answer in answers(replica, 19).values())


def test_the_stacks_of_threads(start, each_python):
    replica = start("import time\ndef Handler(req):\n    print('begun', req.request_id, flush=True)\n"
                    "    time.sleep(600)\n",
                    python=each_python, settings=settings(concurrency=2)).started()
    replica.send(frames.call(1), frames.call(2))
    replica.out.wait_for(b"begun request-1\n"), replica.out.wait_for(b"begun request-2\n")
    os.kill(replica.process.pid, signal.SIGRTMIN + 8)
    replica.err.wait_for(b"Current thread")
    log = replica.err.wait_for(b'handler.py", line', times=2)
    assert log.count(b"Thread 0x") >= 2 and b"in Handler" in log


def test_async_in_once_mode(folder, each_python):
    done = once(folder, each_python, b"x", "import asyncio\nclass Handler:\n    async def __call__(self, req):\n"
                "        await asyncio.sleep(0)\n        return req.input * 2\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"xx", b"")
