"""A task that several gateways share: each gateway has a link of its own to the task."""
import signal
import socket
import struct
import subprocess
import threading

import pytest

import frames
from replica import PATIENCE, WATCHER, Replica, tcp_address, wait_for
from test_calls import ECHO

SLOW = """
import os, time

def Handler(req):
    open("begun", "a").write("x")
    while req.input == b"wait" and not os.path.exists("go"):
        time.sleep(0.005)
    return "slept"
"""

CANCELLED = """
import time

def Handler(req):
    if req.input == b"cancels":
        return open("cancelled").read()
    open("begun", "w").close()
    while not req.cancelled:
        time.sleep(0.005)
    open("cancelled", "w").write("yes")
"""

BATCH = """
def Handler(reqs):
    return ["%d of %d" % (i, len(reqs)) for i in range(len(reqs))]
"""

CHAIN = """
import mesh

def Handler(req):
    return mesh.mesh_call("other", req.input)
"""


class Other(Replica):
    """The end of a second gateway, for a watcher that a test has started with the first gateway."""

    is_remote = True

    def __init__(self, first, listener):
        self._listener, self.token, self.settings, self.max_body = listener, first.token, first.settings, first.max_body
        self._buffer, self.link, self.paces = b"", None, []

    def close(self):
        self.link.close()


@pytest.fixture
def listeners():
    with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("127.0.0.1", 0)) as b:
        for each in (a, b):
            each.settimeout(PATIENCE)
        yield a, b


@pytest.fixture
def pair(start, listeners):
    def pair(handler, environment=None, ready=True, **options):
        environment = {"DCF_LINK": ",".join(map(tcp_address, listeners)), **(environment or {})}
        first = start(handler, tcp=listeners[0], contained=True, environment=environment, **options)
        second = Other(first, listeners[1])
        if ready:
            first.started()
            second.started()
        return first, second

    return pair


def test_each_has_the_task(pair, each_python):
    first, second = pair(ECHO, python=each_python, environment={"DCF_TASK": "task-1"})
    for gateway in (first, second):
        hello = frames.Hello.of(gateway.hello)
        assert (hello.task, hello.token) == ("task-1", "")
    first.send(frames.call(7, b"one"))
    second.send(frames.call(7, b"two"))
    assert (second.receive().payload, first.receive().payload) == (b"two", b"one")
    big = bytes(range(256)) * (40 << 10)
    assert second.reply(big) == big
    first.drain()
    assert second.receive().kind == frames.LEAVING
    assert first.ended() and second.ended() and first.status() == 0


def test_a_call_that_comes_too_late_is_given_back(pair, folder):
    first, second = pair(SLOW)
    first.send(frames.call(1, b"wait"))
    wait_for(lambda: (folder / "begun").exists())
    first.drain()
    assert second.receive().kind == frames.LEAVING
    second.send(frames.call(4, b"0"))
    answer = second.receive()
    assert (answer.kind, answer.head) == (frames.RETURNED, struct.pack("<HQ", 1, 4))
    (folder / "go").touch()
    assert first.receive().payload == b"slept"


def test_a_task_that_is_told_to_end(pair, folder):
    first, second = pair(SLOW)
    second.send(frames.call(1, b"wait"))
    wait_for(lambda: (folder / "begun").exists())
    first.process.send_signal(signal.SIGTERM)
    assert [gateway.receive().kind for gateway in (first, second)] == [frames.LEAVING] * 2
    (folder / "go").touch()
    assert second.receive().payload == b"slept"
    assert first.status() == 0


def test_one_is_enough(pair):
    first, second = pair(ECHO, ready=False)
    first.started()
    assert first.reply(b"x") == b"x"
    assert second.started().reply(b"y") == b"y", "it comes later"


def test_a_broken_constructor_is_told_to_those_who_are_there(pair):
    first, second = pair("raise ValueError('no')", ready=False)
    first.accept()
    second.accept()
    first.welcome()
    assert first.receive().kind == frames.FAILED
    assert first.status() == 1


def test_a_gateway_that_goes_leaves_the_other_its_calls(pair, folder):
    first, second = pair(SLOW)
    second.send(frames.call(1, b"wait"))
    wait_for(lambda: (folder / "begun").exists())
    first.send(frames.call(1, b"0"))
    first.link.close()
    first.started()
    # The relay has handled the end of the first link before it handles this Recall.
    first.send(frames.frame(frames.RECALL))
    assert frames.returned(first.receive()) == []
    (folder / "go").touch()
    answer = second.receive()
    assert (answer.kind, answer.payload) == (frames.REPLY, b"slept")
    assert first.reply(b"0") == b"slept", "it is dialled again"
    assert (folder / "begun").read_text() == "xx", "the call without a caller did not run"


def test_the_calls_of_a_gateway_that_goes_are_cancelled(pair, folder):
    first, second = pair(CANCELLED)
    first.send(frames.call(1, b""))
    wait_for(lambda: (folder / "begun").exists())
    first.link.close()
    wait_for(lambda: (folder / "cancelled").exists())
    assert second.reply(b"cancels") == b"yes"


def test_a_recall_gives_each_its_own(pair, folder):
    first, second = pair(SLOW)
    first.send(frames.call(1, b"wait"))
    wait_for(lambda: (folder / "begun").exists())
    first.send(frames.call(2, b"0"))
    # The deadline of the last call has passed: its answer shows that the calls before it were read.
    second.send(frames.call(2, b"0"), frames.call(3, b"0"), frames.call(9, b"0", micros=1))
    assert frames.Error.of(second.receive()).code == frames.DEADLINE_EXCEEDED
    first.send(frames.frame(frames.RECALL))
    for gateway, calls in ((first, [2]), (second, [2, 3])):
        answer = gateway.receive()
        assert (answer.kind, answer.head) == (frames.RETURNED, struct.pack(f"<H{len(calls)}Q", len(calls), *calls))
    (folder / "go").touch()
    assert first.receive().payload == b"slept"


def test_batches_stay_whole(pair):
    first, second = pair(BATCH, ready=False)
    for gateway in (first, second):
        gateway.settings = {**gateway.settings, "batch": {"max_size": 8, "retry": True}}
        gateway.started()
    for _ in range(20):
        for gateway in (first, second):
            gateway.send(frames.batch(*(frames.call(id, b"") for id in range(1, 5))))
        for gateway in (first, second):
            assert [gateway.receive().payload for _ in range(4)] == [b"%d of 4" % i for i in range(4)]


def test_a_handlers_calls_go_where_its_caller_is(pair):
    first, second = pair(CHAIN)
    for gateway in (second, first):
        gateway.send(frames.call(5, b"in"))
        out = gateway.receive()
        assert (out.kind, out.payload, struct.unpack_from("<Q", out.head)) == (frames.CALL_OUT, b"in", (5,))
        gateway.send(frames.call_reply(out.id, b"out"))
        assert gateway.receive().payload == b"out"


def test_pieces_and_credit(pair):
    first, second = pair("def Handler(req):\n    for i in range(40):\n        yield bytes(64 << 10)\n")
    done = {}
    threads = [threading.Thread(target=lambda g=g: done.update({g: g.stream(b"", id=3)})) for g in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for pieces, end in done.values():
        assert sum(map(len, pieces)) == 40 * (64 << 10) and end.kind == frames.END


def test_stop_ends_it_at_once(pair, folder):
    first, second = pair(SLOW)
    first.send(frames.call(1, b"wait"))
    wait_for(lambda: (folder / "begun").exists())
    second.send(frames.frame(frames.STOP, flags=frames.OPTIONAL))
    assert first.ended() and first.status() != 0


def test_no_gateway_for_too_long(pair, listeners):
    first, second = pair(ECHO, environment={"DCF_RETURN": "1"})
    for each in (*listeners, first.link, second.link):
        each.close()
    assert first.status() != 0
    assert b"no gateway was reached for too long: tcp:127.0.0.1:" in first.err.all()


def test_a_gateway_without_the_token(pair):
    first, second = pair(ECHO, ready=False)
    second.accept()
    second.send(frames.frame(frames.WELCOME, struct.pack("<HQ", 1, 64 << 20) + bytes(32), b"{}"))
    assert first.started().reply(b"x") == b"x"
    assert second.started().reply(b"x") == b"x", "it is dialled again"


@pytest.mark.parametrize("link", ["tcp:a:1,", "tcp:a:1,b:2", ","])
def test_what_is_no_list(link):
    done = subprocess.run([WATCHER], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, text=True,
                          env={"PATH": "/usr/bin:/bin", "DCF_TOKEN": "t", "DCF_LINK": link})
    assert (done.returncode, done.stderr) == (69, f'dcf-watcher: DCF_LINK: "{link}" is not a list of tcp:HOST:PORT\n')


def test_names_are_found_as_the_image_does(start, listeners):
    link = ",".join(f"tcp:localhost:{each.getsockname()[1]}" for each in listeners)
    first = start(ECHO, tcp=listeners[0], contained=True, environment={"DCF_LINK": link})
    second = Other(first, listeners[1])
    assert first.started().reply(b"x") == b"x"
    assert second.started().reply(b"y") == b"y"
