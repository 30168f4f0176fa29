"""Deadlines, cancels and drains: a call that has not begun in time never begins; calls before a drain are finished."""
import pytest

import frames
from test_calls import handler

#: Writes the request ids of the calls that begin to a file, and works as many milliseconds as the input says.
SLOW = """
import os, time
notes = os.open("notes", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
class Handler:
    def __call__(self, req):
        os.write(notes, req.request_id.encode() + b"\\n")
        print("begun", req.request_id, flush=True)
        if req.input == b"wait":
            while not os.path.exists("go"): time.sleep(0.001)
            # However soon the file is there, this is a long call.
            time.sleep(0.003)
        else:
            time.sleep(int(req.input) / 1000)
        return b"done"
"""


def begun(folder):
    return (folder / "notes").read_text().split()


def test_calls_behind_a_long_one_that_expired_do_not_begin(start, folder):
    replica = start(SLOW).started()
    replica.send(frames.call(1, b"50"), frames.call(2, b"0", micros=1_000), frames.call(3, b"0", micros=60_000_000),
                 frames.call(4, b"0"))
    answers = {answer.id: answer for answer in (replica.receive() for _ in range(4))}
    error = frames.Error.of(answers[2])
    assert (error.code, error.executed) == (frames.DEADLINE_EXCEEDED, frames.NO)
    assert error.message == "the deadline passed before the call began"
    assert begun(folder) == ["request-1", "request-3", "request-4"]


def test_cancelled_calls_do_not_begin(start, folder):
    replica = start(SLOW).started()
    replica.send(frames.call(1, b"wait"), frames.call(2, b"0"), frames.call(3, b"0"))
    replica.out.wait_for(b"begun request-1\n")
    replica.send(frames.call(4, b"0"), frames.frame(frames.CANCEL, id=2), frames.frame(frames.CANCEL, id=4),
                 frames.frame(frames.CANCEL, id=1), frames.frame(frames.CANCEL, id=99))
    (folder / "go").touch()
    answers = {answer.id: answer for answer in (replica.receive() for _ in range(4))}
    for id in (2, 4):
        error = frames.Error.of(answers[id])
        assert (error.code, error.executed) == (frames.CANCELLED, frames.NO)
        assert error.message == "cancelled before the call began"
    assert answers[1].payload == answers[3].payload == b"done"
    assert begun(folder) == ["request-1", "request-3"]


def test_a_slow_call_does_not_keep_finished_replies(start, folder):
    replica = start(SLOW).started()
    replica.send(frames.call(1, b"5"), frames.call(2, b"wait"))
    assert replica.receive().id == 1
    (folder / "go").touch()
    assert replica.receive().id == 2


def test_a_slow_call_after_fast_ones_does_not_keep_their_replies(start, folder):
    replica = start(SLOW.replace('print("begun", req.request_id, flush=True)', "")).started()
    replica.send(*[frames.call(i, b"0") for i in range(1, 6)], frames.call(6, b"wait"))
    assert [replica.receive().id for _ in range(5)] == [1, 2, 3, 4, 5]
    (folder / "go").touch()
    assert replica.receive().id == 6


def test_a_long_input_behind_a_long_call(start, folder):
    replica = start("import os, time\ndef Handler(req):\n    if req.input == b'wait':\n"
                    "        print('begun', flush=True)\n"
                    "        while not os.path.exists('go'): time.sleep(0.001)\n    return req.input\n").started()
    replica.send(frames.call(1, b"wait"))
    replica.out.wait_for(b"begun\n")
    replica.send(frames.call(2, b"x" * 100_000))
    (folder / "go").touch()
    assert replica.receive().payload == b"wait"
    assert replica.receive().payload == b"x" * 100_000


def test_a_drain_finishes_what_was_received(start, folder, each_python):
    replica = start("import atexit, sys\natexit.register(print, 'goodbye')\n" + SLOW, python=each_python).started()
    replica.send(frames.call(1, b"20"), *[frames.call(i, b"0") for i in range(2, 50)], frames.frame(frames.DRAIN))
    assert [replica.receive().id for _ in range(1, 50)] == list(range(1, 50))
    assert replica.ended()
    assert replica.status() == 0
    assert replica.out.all().endswith(b"goodbye\n")


def test_a_drain_with_nothing_to_do(start):
    replica = start(handler("return b''")).started()
    replica.drain()
    assert replica.status() == 0


def test_an_atexit_function_may_outlast_the_link(start, folder):
    replica = start("import atexit, time, os\n"
                    "def bye():\n    print('begun', flush=True)\n"
                    "    while not os.path.exists('go'): time.sleep(0.001)\n    print('saved')\n"
                    "atexit.register(bye)\ndef Handler(req): return b''\n").started()
    replica.drain()
    replica.out.wait_for(b"begun\n")
    replica.link.close()
    (folder / "go").touch()
    assert replica.status() == 0
    assert replica.out.all() == b"begun\nsaved\n"


@pytest.mark.parametrize("micros", [2**64 - 1, 2**63, 10**18])
def test_deadlines_that_are_far_off(start, micros):
    assert start(handler("req.remaining(); return b'fine'")).started().reply(micros=micros) == b"fine"
