"""A replica in a container loses its gateway, and dials the next one with its handler as it is."""
import os
import pathlib
import signal

import pytest

import frames
from replica import settings, wait_for
from test_container import alive, children

MADE = """
import os, time

made = 0

class Handler:
    def __init__(self):
        global made
        made += 1
        self.calls = 0

    def __call__(self, req):
        self.calls += 1
        if req.input.startswith(b"slow"):
            open("begun", "w").close()
            while not os.path.exists("go"):
                time.sleep(0.01)
        return "%d %d" % (made, self.calls)
"""

BATCH = """
class Handler:
    def __call__(self, reqs):
        return [req.input for req in reqs]
"""

STREAM = """
import os

class Handler:
    def __call__(self, req):
        if not req.input:
            return "whole"
        def pieces():
            try:
                while True:
                    yield b"x" * 1000
            finally:
                with open("closed", "a") as file:
                    file.write("x")
        return pieces()
"""

#: An iterator that is not a generator: only the watcher closes it.
CLOSABLE = """
import os

class Pieces:
    made = []

    def __init__(self):
        self.made.append(self)

    def __iter__(self):
        return self

    def __next__(self):
        return b"x" * 1000

    def close(self):
        with open("closed", "a") as file:
            file.write("x")

class Handler:
    def __call__(self, req):
        return Pieces() if req.input else "whole"
"""

#: Replies with the resident memory in MiB to an empty input, and with an endless stream to any other.
RESIDENT = """
import os

class Handler:
    def __call__(self, req):
        if req.input:
            return iter(lambda: b"x" * 1000, None)
        with open("/proc/self/statm") as file:
            return str(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20)
"""

ASYNC = """
import asyncio, dcf, os

made = 0

class Handler:
    def __init__(self):
        global made
        made += 1
        self.calls = 0
        self.background = None
        open("turns", "w").close()

    async def turn(self):
        while True:
            if os.path.exists("count"):
                with open("turns", "a") as file:
                    file.write("x")
            await asyncio.sleep(0.01)

    async def __call__(self, req):
        self.calls += 1
        if self.background is None:
            self.background = asyncio.ensure_future(self.turn())
        if req.input == b"slow":
            open("begun", "w").close()
            try:
                while not os.path.exists("go"):
                    await asyncio.sleep(0.01)
            finally:
                open("cancelled" if req.cancelled else "whole", "w").close()
        if req.input == b"chain":
            try:
                await dcf.call_async("other", b"x")
            except dcf.Error as error:
                open("told", "w").write(str(error))
        return "%d %d" % (made, self.calls)
"""


@pytest.fixture
def returning(start):
    def make(source, seconds=30, environment=None, **options):
        environment = {"DCF_RETURN": str(seconds), **(environment or {})}
        return start(source, contained=True, environment=environment, settings=settings(**options)).started()

    return make


def lose(replica):
    """The gateway goes away."""
    replica.link.close()
    replica._buffer = b""


def lose_for_good(replica):
    """The gateway goes away, and does not come back: the replica has noticed, and dials in vain."""
    lose(replica)
    # It has noticed when it dials again. The gateway that answers goes away too, before it says Welcome.
    connection = replica._listener.accept()[0]
    # Away before it can dial once more.
    os.rename(replica.folder / "l", replica.folder / "away")
    connection.close()


def come_back(replica):
    """Ends `lose_for_good`."""
    os.rename(replica.folder / "away", replica.folder / "l")
    replica.started()


def test_it_comes_back_as_it_is(returning):
    replica = returning(MADE)
    assert replica.reply(b"x") == b"1 1"
    (inner,) = children(replica.process.pid)
    for turn in range(20):
        lose(replica)
        replica.started()
        assert replica.reply(b"x", id=turn + 1) == b"1 %d" % (turn + 2)
    assert children(replica.process.pid) == [inner]
    replica.drain()
    assert replica.status() == 0


@pytest.mark.parametrize("options", [{}, {"concurrency": 3}])
def test_a_call_under_way_is_forgotten(returning, options):
    replica = returning(MADE, **options)
    replica.send(frames.call(7, b"slow"))
    wait_for((replica.folder / "begun").exists)
    lose(replica)
    if options:
        # Its other threads answer the next gateway's calls meanwhile.
        replica.started()
        assert replica.reply(b"x") == b"1 2"
    (replica.folder / "go").touch()
    if not options:
        replica.started()
    assert replica.reply(b"x", id=7) in (b"1 2", b"1 3")
    replica.drain()
    assert replica.ended() and replica.status() == 0


@pytest.mark.parametrize("source, options, wanted", [
    (BATCH, {"batch": {"max_size": 4, "retry": True}}, b"x"), (MADE, {"concurrency": 4}, b"1 1"),
], ids=["batches", "threads"])
def test_batches_and_threads(returning, source, options, wanted):
    replica = returning(source, **options)
    lose(replica)
    replica.started()
    assert replica.reply(b"x") == wanted
    lose(replica)
    replica.started()
    assert replica.reply(b"x", id=2)
    replica.drain()
    assert replica.status() == 0


@pytest.mark.parametrize("source, options", [
    (STREAM, {}), (CLOSABLE, {}), (CLOSABLE, {"concurrency": 3}), (STREAM.replace("def", "async def"), {}),
], ids=["def", "iterator", "threads", "async"])
def test_a_stream_under_way_is_closed(returning, source, options):
    """Whichever thread notices first: the one that writes, or the one that watches the link."""
    replica = returning(source, **options)
    closed = replica.folder / "closed"
    for turn in range(20):
        replica.send(frames.call(1, b"go", flags=frames.STREAM))
        assert replica.receive().kind == frames.PIECE
        lose(replica)
        replica.started()
        assert replica.reply() == b"whole"
        wait_for(lambda count=turn + 1: closed.exists() and closed.read_text() == "x" * count)


@pytest.mark.alone
@pytest.mark.parametrize("options", [{}, {"concurrency": 3}], ids=["alone", "threads"])
def test_what_was_cut_off_is_not_kept(returning, options):
    """The replica keeps neither the input of a running call nor the received half of another one."""
    # With this variable, freed memory goes back to the system at once.
    replica = returning(RESIDENT, environment={"MALLOC_MMAP_THRESHOLD_": "1000000"}, **options)
    size = 8 << 20
    before = int(replica.reply())
    for _ in range(10):
        replica.send(frames.call(1, b"x" * size, flags=frames.STREAM))
        assert replica.receive().kind == frames.PIECE
        replica.send(frames.call(2, b"x" * size)[:-1])
        lose(replica)
        replica.started()
        assert replica.reply()
        replica.send(frames.call(1, b"x" * size)[:-1])
        lose(replica)
        replica.started()
    assert int(replica.reply()) - before < 40


def test_without_a_gateway_it_ends_when_its_time_is_up(returning):
    replica = returning(MADE, seconds=1)
    (inner,) = children(replica.process.pid)
    replica._listener.close()
    lose(replica)
    assert replica.status() in (128 + signal.SIGKILL, -signal.SIGKILL)
    assert not alive(inner)


def test_a_call_that_lasts_does_not_prolong_that(returning):
    replica = returning(MADE, seconds=1)
    replica.send(frames.call(7, b"slow"))
    wait_for((replica.folder / "begun").exists)
    lose(replica)
    assert replica.status() in (128 + signal.SIGKILL, -signal.SIGKILL)


def test_a_signal_ends_it_while_it_is_alone(returning):
    replica = returning(MADE)
    lose_for_good(replica)
    replica.process.send_signal(signal.SIGTERM)
    assert replica.status() == 0


# Async handlers.

def test_an_event_loop_comes_back(returning):
    replica = returning(ASYNC, concurrency=8)
    assert replica.reply(b"x") == b"1 1"
    for turn in range(20):
        lose(replica)
        replica.started()
        assert replica.reply(b"x", id=turn + 1) == b"1 %d" % (turn + 2)
    replica.drain()
    assert replica.ended() and replica.status() == 0


@pytest.mark.parametrize("cancel", [None, "raise"])
def test_a_task_under_way_is_forgotten(returning, cancel):
    """It goes on beside the next gateway's calls, or the config has it cancelled. Either way its answer is dropped."""
    replica = returning(ASYNC, concurrency=2, **({"cancel": cancel} if cancel else {}))
    # In one write, so that both have begun when one has.
    replica.send(*(frames.call(id, b"slow") for id in (7, 8)))
    wait_for((replica.folder / "begun").exists)
    lose(replica)
    replica.started()
    # The old tasks do not take places of the new gateway's calls.
    assert replica.reply(b"x", id=7) == b"1 3"
    (replica.folder / "go").touch()
    wait_for((replica.folder / "cancelled").exists)
    for id in range(8, 20):
        assert replica.reply(b"x", id=id) == b"1 %d" % (id - 4)
    replica.drain()
    assert replica.ended() and replica.status() == 0


def test_an_event_loop_turns_without_a_gateway(returning):
    replica = returning(ASYNC, concurrency=2)
    assert replica.reply(b"x") == b"1 1"
    lose_for_good(replica)
    (replica.folder / "count").touch()
    wait_for(lambda: len((replica.folder / "turns").read_bytes()) > 10)
    come_back(replica)
    assert replica.reply(b"x", id=2) == b"1 2"


def test_a_call_of_another_function_under_way_fails(returning):
    replica = returning(ASYNC, concurrency=2)
    replica.send(frames.call(1, b"chain"))
    assert replica.receive().kind == frames.CALL_OUT
    lose(replica)
    replica.started()
    told = replica.folder / "told"
    wait_for(lambda: told.exists() and told.read_text())
    assert "UNAVAILABLE" in told.read_text() and "went away" in told.read_text()
    assert replica.reply(b"x") == b"1 2"


def test_it_is_not_healthy_meanwhile(start):
    health = pathlib.Path("/tmp/.lock")
    replica = start(MADE, contained=True, environment={"DCF_RETURN": "30", "DCF_CONTAINER": "1"}).started()
    wait_for(health.exists)
    lose(replica)
    wait_for(lambda: not health.exists())
    replica.started()
    wait_for(health.exists)
    replica.drain()
    assert replica.status() == 0
    assert not health.exists()
