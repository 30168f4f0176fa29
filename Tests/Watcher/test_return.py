"""A contained replica whose gateway goes away dials the next one, with its handler as it is."""
import os
import pathlib
import signal
import time

import pytest

import frames
from replica import settings
from test_container import alive, children, wait_for

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
class Handler:
    def __call__(self, req):
        if not req.input:
            return "whole"
        def pieces():
            while True:
                yield b"x" * 1000
        return pieces()
"""

ASYNC = """
class Handler:
    async def __call__(self, req):
        return req.input
"""


@pytest.fixture
def returning(start):
    def make(source, seconds=30, **options):
        return start(source, contained=True, environment={"DCF_RETURN": str(seconds)}, settings=settings(**options)).started()

    return make


def lose(replica):
    replica.link.close()


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
        # Its other threads answer the next gateway meanwhile.
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


def test_a_stream_under_way_is_closed(returning):
    replica = returning(STREAM)
    replica.send(frames.call(1, b"go", flags=frames.STREAM))
    assert replica.receive().kind == frames.PIECE
    lose(replica)
    replica._buffer = b""
    replica.started()
    assert replica.reply() == b"whole"


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
    replica._listener.close()
    os.unlink(replica.folder / "l")
    lose(replica)
    time.sleep(0.2)
    replica.process.send_signal(signal.SIGTERM)
    assert replica.status() == 0


def test_an_event_loop_ends_with_its_link(returning):
    replica = returning(ASYNC)
    lose(replica)
    assert replica.status() in (128 + signal.SIGKILL, -signal.SIGKILL)


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
