"""Frames that come while the handler works: cancels and recalls, also while C code holds the GIL."""
import fcntl
import pathlib
import random
import re

import pytest

import frames
from replica import send_in_parts, settings, wait_for

WAIT = """
import ctypes, os, time
class Handler:
    def __call__(self, req):
        how, _, rest = req.input.partition(b" ")
        print("begun", req.request_id, flush=True)
        if how == b"sleep":
            while not os.path.exists("go"): time.sleep(0.001)
        elif how == b"hold":
            # PyDLL does not release the GIL.
            while not os.path.exists("go"): ctypes.PyDLL(None).usleep(20_000)
        return b"1" if req.cancelled else b"0"
"""


def begin(replica, how, id=1):
    replica.send(frames.call(id, how))
    replica.out.wait_for(b"begun request-%d\n" % id)


def go(replica):
    (replica.folder / "go").touch()


@pytest.mark.parametrize("how", [b"sleep", b"hold"])
def test_a_recall_while_the_handler_works(start, each_python, how):
    replica = start(WAIT, python=each_python).started()
    begin(replica, how)
    replica.send(frames.call(2), frames.call(3, b"x" * 100_000), frames.frame(frames.RECALL), frames.call(4))
    assert frames.returned(replica.receive()) == [2, 3]
    replica.send(frames.frame(frames.RECALL))
    assert frames.returned(replica.receive()) == [4]
    replica.send(frames.frame(frames.RECALL))
    assert frames.returned(replica.receive()) == []
    go(replica)
    assert replica.receive().id == 1
    assert replica.ask(id=5).payload == b"0"
    replica.drain()
    assert replica.status() == 0
    assert b"request-2" not in replica.out.all() and b"request-3" not in replica.out.all()


def test_a_recall_while_idle(start):
    replica = start(WAIT).started()
    replica.send(frames.frame(frames.RECALL))
    assert frames.returned(replica.receive()) == []
    assert replica.reply() == b"0"


@pytest.mark.parametrize("how", [b"sleep", b"hold"])
def test_a_cancel_is_seen_by_the_handler(start, each_python, how):
    replica = start(WAIT, python=each_python).started()
    begin(replica, how)
    # The answer to the Recall shows that the cancel was read.
    replica.send(frames.cancel(1), frames.cancel(77), frames.frame(frames.RECALL))
    replica.receive()
    go(replica)
    assert replica.receive().payload == b"1"
    assert replica.reply(id=2) == b"0"


def test_expired_calls_are_answered_while_the_handler_works(start):
    replica = start(WAIT).started()
    begin(replica, b"sleep")
    replica.send(frames.call(2, micros=2_000), frames.call(3))
    error = frames.Error.of(replica.receive())
    assert (error.code, error.executed) == (frames.DEADLINE_EXCEEDED, frames.NO)
    go(replica)
    assert [replica.receive().id for _ in range(2)] == [1, 3]


def test_a_long_input_in_parts_while_the_handler_works(start):
    replica = start(WAIT.replace('return b"1"', 'return req.input if rest else b"1"')).started()
    begin(replica, b"sleep")
    data = b"other " + bytes(range(256)) * 20_000
    call = frames.call(2, data)
    first, last = call[:-1000], call[-1000:]
    send_in_parts(replica.link, first, 1_000_000)
    go(replica)
    assert replica.receive().id == 1
    replica.send(last)
    assert replica.receive().payload == data


RAISE = """
import dcf, os, time
class Handler:
    def __call__(self, req):
        try:
            print("begun", req.request_id, flush=True)
            while not os.path.exists("go"): time.sleep(0.001)
        except BaseException as error:
            print("raised", type(error).__name__, flush=True)
            raise
        return b"1" if req.cancelled else b"0"
"""


@pytest.mark.parametrize("concurrency", [1, 3])
def test_cancel_raise(start, each_python, concurrency):
    replica = start(RAISE, python=each_python, settings=settings(cancel="raise", concurrency=concurrency)).started()
    begin(replica, b"")
    replica.send(frames.cancel(1))
    error = frames.Error.of(replica.receive())
    assert (error.code, error.executed, error.traceback) == (frames.CANCELLED, frames.YES, "")
    replica.out.wait_for(b"raised Cancelled\n")
    go(replica)
    assert replica.reply(id=2) == b"0"
    replica.drain()
    assert replica.status() == 0
    assert replica.err.all() == b""


@pytest.mark.parametrize("concurrency", [1, 3])
def test_by_default_a_cancel_raises_nothing(start, concurrency):
    replica = start(RAISE, settings=settings(concurrency=concurrency)).started()
    begin(replica, b"")
    replica.send(frames.cancel(1), frames.frame(frames.RECALL))
    replica.receive()
    go(replica)
    assert replica.receive().payload == b"1"


def test_cancel_raise_reaches_only_its_own_thread(start):
    replica = start(RAISE, settings=settings(cancel="raise", concurrency=4)).started()
    for id in range(1, 5):
        begin(replica, b"", id)
    replica.send(frames.cancel(2), frames.cancel(3))
    for _ in range(2):
        answer = replica.receive()
        assert answer.id in (2, 3) and frames.Error.of(answer).code == frames.CANCELLED
    go(replica)
    assert {replica.receive().id for _ in range(2)} == {1, 4}


def test_cancel_raise_in_a_generator(start):
    replica = start("import time\ndef Handler(req):\n    yield b'first'\n    while True: time.sleep(0.001)\n",
                    settings=settings(cancel="raise")).started()
    replica.send(frames.call(1, flags=frames.STREAM))
    assert replica.receive().payload == b"first"
    replica.send(frames.cancel(1))
    assert frames.Error.of(replica.receive()).code == frames.CANCELLED


def test_a_handler_may_catch_it(start):
    replica = start("import dcf, time\ndef Handler(req):\n    try:\n"
                    "        print('begun', req.request_id, flush=True)\n"
                    "        while True: time.sleep(0.001)\n    except dcf.Cancelled: return 'caught'\n",
                    settings=settings(cancel="raise")).started()
    begin(replica, b"")
    replica.send(frames.cancel(1))
    assert replica.receive().payload == b"caught"


def test_it_is_no_exception_for_except_exception(start):
    replica = start("import time\ndef Handler(req):\n    print('begun', req.request_id, flush=True)\n"
                    "    while True:\n        try: time.sleep(0.001)\n        except Exception: pass\n",
                    settings=settings(cancel="raise")).started()
    begin(replica, b"")
    replica.send(frames.cancel(1))
    assert frames.Error.of(replica.receive()).code == frames.CANCELLED


SPIN = """
import time
class Handler:
    {prefix}def __call__(self, req):
        end = time.perf_counter() + int(req.input) / 1e6
        while time.perf_counter() < end: {wait}
        return req.input
"""


@pytest.mark.parametrize("concurrency, prefix, wait", [
    (1, "", "pass"), (4, "", "pass"), (4, "", "time.sleep(0)"), (4, "async ", "await __import__('asyncio').sleep(0)")])
def test_cancels_at_random_moments(start, each_python, concurrency, prefix, wait):
    """Whenever a cancel comes, each call gets one answer, and no call gets the cancel of another."""
    total = 10_000 if concurrency == 1 and "3.12" in each_python else 2_000
    replica = start(SPIN.format(prefix=prefix, wait=wait), python=each_python,
                    settings=settings(cancel="raise", concurrency=concurrency)).started()
    random.seed(7)
    cancelled, answered = set(), {}
    sent = 0
    while len(answered) < total:
        while sent < total and sent - len(answered) < 8:
            sent += 1
            replica.send(frames.call(sent, b"%d" % random.choice((0, 50, 200, 1500))))
            if random.random() < 0.7:
                victim = random.randint(max(1, sent - 6), sent)
                cancelled.add(victim)
                replica.send(frames.cancel(victim))
        answer = replica.receive()
        assert answer.id not in answered
        answered[answer.id] = answer
    for id, answer in answered.items():
        if answer.kind == frames.ERROR:
            error = frames.Error.of(answer)
            assert error.code == frames.CANCELLED, error
            assert id in cancelled
    assert sum(answer.kind == frames.ERROR for answer in answered.values()) > total / 20
    assert replica.reply(b"0", id=total + 1) == b"0"
    replica.drain()
    assert replica.status() == 0
    # On a machine that stalls, the event loop may be reported as blocked. There must be no other line.
    assert all(line.startswith(b"dcf-watcher: the event loop") for line in replica.err.all().splitlines())


HOLD = """
import ctypes
class Handler:
    def __call__(self, req):
        if req.input:
            with open("held") as file:
                print("begun", req.request_id, flush=True)
                # PyDLL does not release the GIL: it is held until the test releases the file.
                ctypes.PyDLL(None).flock(file.fileno(), 2)
        return b"fine"
"""


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_recall_after_a_cancel_that_cannot_be_raised(start, folder, concurrency):
    """While C code holds the GIL, nothing can be raised in the handler, but the link is still read."""
    with open(folder / "held", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        replica = start(HOLD, settings=settings(cancel="raise", concurrency=concurrency)).started()
        begin(replica, b"hold")
        # The handler prints "begun" a moment before it holds the GIL in flock.
        waits = re.compile(rf"-> FLOCK +ADVISORY +WRITE +{replica.process.pid} ")
        wait_for(lambda: waits.search(pathlib.Path("/proc/locks").read_text()))
        replica.send(frames.cancel(1))
        for id in range(2, 6):
            replica.send(frames.call(id), frames.frame(frames.RECALL))
            assert frames.returned(replica.receive()) == [id]
    answer = replica.receive()
    # The main thread needs the GIL to raise in another thread: the handler may have returned before that.
    if concurrency == 1 or answer.kind == frames.ERROR:
        assert frames.Error.of(answer).code == frames.CANCELLED
    else:
        assert answer.payload == b"fine"
    assert replica.reply(id=9) == b"fine"
