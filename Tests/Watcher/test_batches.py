"""Several requests as one list: the answers are in order, and the fault of one call fails that call only."""
import pytest

import frames
from replica import settings

BATCH = {"max_size": 8, "retry": True}

DOUBLE = """
class Handler:
    def __call__(self, requests):
        assert isinstance(requests, list)
        print(len(requests), flush=True)
        return [req.input * 2 for req in requests]
"""


def batching(start, source, retry=True, **options):
    return start(source, settings=settings(batch={**BATCH, "retry": retry}), **options).started()


def answers(replica, count):
    return {answer.id: answer for answer in (replica.receive() for _ in range(count))}


def ask(replica, *inputs):
    replica.send(frames.batch(*[frames.call(id, data) for id, data in enumerate(inputs, 1)]))
    return answers(replica, len(inputs))


@pytest.mark.parametrize("source", [DOUBLE, DOUBLE.replace("def __call__", "async def __call__")])
def test_a_batch_is_one_list(start, each_python, source):
    replica = batching(start, source, python=each_python)
    got = ask(replica, b"a", b"b", b"c")
    assert {id: answer.payload for id, answer in got.items()} == {1: b"aa", 2: b"bb", 3: b"cc"}
    assert replica.out.wait_for(b"3\n") == b"3\n"
    # A call without a Batch before it is a list of one.
    assert replica.reply(b"d", id=9) == b"dd"
    replica.drain()
    assert replica.status() == 0
    assert replica.out.all() == b"3\n\x1erequest-9\x1f1\n"


def test_a_batch_that_comes_in_parts_is_still_one(start):
    replica = batching(start, DOUBLE)
    data = frames.batch(*[frames.call(id, b"%d" % id * 20_000) for id in range(1, 4)])
    for begin in range(0, len(data), 9_000):
        replica.send(data[begin : begin + 9_000])
    assert set(answers(replica, 3)) == {1, 2, 3}
    replica.out.wait_for(b"3\n")


def test_batches_that_come_together_are_two(start):
    replica = batching(start, DOUBLE)
    replica.send(frames.batch(frames.call(1, b"a"), frames.call(2, b"b")), frames.batch(frames.call(3, b"c")),
                 frames.call(4, b"d"))
    assert len(answers(replica, 4)) == 4
    replica.drain()
    replica.status()
    assert replica.out.all().replace(b"\x1erequest-3\x1f", b"").replace(b"\x1erequest-4\x1f", b"") == b"2\n1\n1\n"


@pytest.mark.parametrize("prefix", ["", "async "])
def test_an_exception_in_the_list_is_one_callers(start, prefix):
    replica = batching(start, f"""
import dcf
{prefix}def Handler(requests):
    return ["fine", ValueError("bad input"), dcf.Error("NOT_FOUND", "no such thing"), 7, b"fine too"]
""")
    got = ask(replica, *[b""] * 5)
    assert (got[1].payload, got[1].flags) == (b"fine", frames.TEXT)
    error = frames.Error.of(got[2])
    assert (error.code, error.executed, error.message) == (frames.UNKNOWN, frames.YES, "ValueError: bad input")
    error = frames.Error.of(got[3])
    assert (error.code, error.message) == (frames.NOT_FOUND, "no such thing")
    error = frames.Error.of(got[4])
    assert (error.code, "the handler returned an int" in error.message) == (frames.INTERNAL, True)
    assert got[5].payload == b"fine too"


def test_a_tuple_is_a_list_too(start):
    replica = batching(start, "def Handler(requests): return tuple(r.input for r in requests)")
    assert ask(replica, b"a", b"b")[2].payload == b"b"


@pytest.mark.parametrize("returned, message", [
    ("[b'']", "the handler returned 1 replies for a batch of 2; it must return one for each request, in order"),
    ("[b''] * 3", "the handler returned 3 replies for a batch of 2; it must return one for each request, in order"),
    ("None", "the handler returned None for a batch of 2; it must return a list of as many replies, in order: "
             "is a return missing?"),
    ("b'ab'", "the handler returned bytes for a batch of 2; it must return a list of as many replies, in order"),
    ("'ab'", "the handler returned str for a batch of 2; it must return a list of as many replies, in order"),
    ("(b'' for _ in requests)",
     "the handler returned generator for a batch of 2; it must return a list of as many replies, in order"),
    ("coroutine()",
     "the handler returned coroutine for a batch of 2; it must return a list of as many replies, in order"),
])
def test_what_is_no_list_of_that_length(start, returned, message):
    replica = batching(start, f"async def coroutine(): pass\ndef Handler(requests): return {returned}")
    for answer in ask(replica, b"a", b"b").values():
        error = frames.Error.of(answer)
        assert (error.code, error.executed, error.message) == (frames.INTERNAL, frames.YES, message)
    replica.drain()
    assert replica.status() == 0
    assert replica.err.all().decode() == message + "\n"


@pytest.mark.parametrize("item, words", [
    ("(x for x in 'ab')", "the handler returned a generator; a reply is str, bytes or another bytes-like object: "
                          "the replies of a batch cannot come in pieces"),
    ("coroutine()", "the handler returned a coroutine; a reply is str, bytes or another bytes-like object: "
                    "write async def __call__, or await it"),
])
def test_items_that_are_no_replies(start, each_python, item, words):
    replica = batching(start, f"async def coroutine(): pass\ndef Handler(requests): return [{item}, b'fine']",
                       python=each_python)
    got = ask(replica, b"a", b"b")
    assert frames.Error.of(got[1]).message == words
    assert got[2].payload == b"fine"
    replica.drain()
    assert replica.status() == 0
    assert b"never awaited" not in replica.err.all()


POISON = """
class Handler:
    {prefix}def __call__(self, requests):
        print("batch of", len(requests))
        if any(req.input == b"poison" for req in requests):
            raise ValueError("poisoned")
        return [req.input for req in requests]
"""


@pytest.mark.parametrize("prefix", ["", "async "])
def test_members_of_a_batch_that_raised_are_tried_alone(start, each_python, prefix):
    replica = batching(start, POISON.format(prefix=prefix), python=each_python)
    got = ask(replica, b"a", b"poison", b"c")
    assert (got[1].payload, got[3].payload) == (b"a", b"c")
    error = frames.Error.of(got[2])
    assert (error.code, error.executed) == (frames.UNKNOWN, frames.YES)
    assert error.message.startswith("ValueError: poisoned (handler.py:6 in __call__)")
    assert "<dcf>" not in error.traceback
    replica.drain()
    assert replica.status() == 0
    lines = replica.out.all().decode().split("\n")
    assert [line.split("\x1f")[-1] for line in lines] == ["batch of 3"] + ["batch of 1"] * 3 + [""]
    if not prefix:
        assert [line.split("\x1f")[0] for line in lines[1:4]] == ["\x1erequest-1", "\x1erequest-2", "\x1erequest-3"]
    assert (b"dcf-watcher: a batch of 3 failed with ValueError: poisoned; its members are tried once more, each alone\n"
            in replica.err.all())


@pytest.mark.parametrize("prefix", ["", "async "])
def test_without_retry_all_get_the_error(start, prefix):
    replica = batching(start, POISON.format(prefix=prefix), retry=False)
    for answer in ask(replica, b"a", b"poison", b"c").values():
        assert frames.Error.of(answer).message.startswith("ValueError: poisoned")
    replica.drain()
    replica.status()
    assert replica.out.all() == b"batch of 3\n"


def test_a_batch_of_one_that_raises_is_not_tried_again(start):
    replica = batching(start, POISON.format(prefix=""))
    assert frames.Error.of(ask(replica, b"poison")[1]).code == frames.UNKNOWN
    replica.drain()
    replica.status()
    assert replica.out.all() == b"\x1erequest-1\x1fbatch of 1\n"


WAITING = """
import os, time
class Handler:
    def __call__(self, requests):
        print("begun", *[req.request_id for req in requests], flush=True)
        if requests[0].input == b"wait":
            while not os.path.exists("go"): time.sleep(0.001)
        return [b"1" if req.cancelled else b"0" for req in requests]
"""


def test_members_that_nobody_waits_for_are_left_out(start):
    replica = batching(start, WAITING)
    replica.send(frames.call(1, b"wait"))
    replica.out.wait_for(b"begun request-1\n")
    batch = frames.batch(frames.call(2), frames.call(3, micros=1000), frames.call(4), frames.call(5))
    replica.send(batch, frames.cancel(4))
    early = answers(replica, 2)
    error = frames.Error.of(early[3])
    assert (error.code, error.executed) == (frames.DEADLINE_EXCEEDED, frames.NO)
    error = frames.Error.of(early[4])
    assert (error.code, error.executed) == (frames.CANCELLED, frames.NO)
    (replica.folder / "go").touch()
    assert set(answers(replica, 3)) == {1, 2, 5}
    assert replica.out.wait_for(b"request-5\n").endswith(b"begun request-2 request-5\n")


def test_a_cancel_in_a_batch_is_one_members(start):
    replica = start(WAITING, settings=settings(batch=BATCH, cancel="raise")).started()
    replica.send(frames.batch(frames.call(1, b"wait"), frames.call(2), frames.call(3)))
    replica.out.wait_for(b"begun request-1 request-2 request-3\n")
    # The answer to the Recall shows that the cancel before it was read.
    replica.send(frames.cancel(2), frames.frame(frames.RECALL))
    assert frames.returned(replica.receive()) == []
    (replica.folder / "go").touch()
    assert {id: answer.payload for id, answer in answers(replica, 3).items()} == {1: b"0", 2: b"1", 3: b"0"}


def test_a_recall_takes_a_batch_that_has_not_begun(start):
    replica = batching(start, WAITING)
    replica.send(frames.call(1, b"wait"))
    replica.out.wait_for(b"begun request-1\n")
    replica.send(frames.batch(frames.call(2), frames.call(3)), frames.frame(frames.RECALL))
    assert frames.returned(replica.receive()) == [2, 3]
    (replica.folder / "go").touch()
    assert replica.receive().id == 1
    assert replica.ask(id=4).payload == b"0"


def test_large_batches(start):
    replica = batching(start, DOUBLE)
    replica.send(frames.batch(*[frames.call(id, b"%d" % id * 10) for id in range(1, 1001)]))
    got = answers(replica, 1000)
    assert all(got[id].payload == b"%d" % id * 20 for id in range(1, 1001))


def test_a_forked_child_in_a_batch_never_answers(start):
    replica = batching(start, "import os\ndef Handler(requests):\n    pid = os.fork()\n    if pid: os.waitpid(pid, 0)\n"
                       "    print('child' if pid == 0 else 'parent')\n    return [str(pid)] * len(requests)\n")
    got = ask(replica, b"", b"")
    assert int(got[1].payload) > 0 and got[1].payload == got[2].payload
    replica.drain()
    assert replica.status() == 0
    assert sorted(replica.out.all().split(b"\n")) == [b"", b"child", b"parent"]


def test_metadata_of_a_reply_in_a_batch(start):
    replica = batching(start, "def Handler(requests):\n    for r in requests: r.set_metadata('who', r.request_id)\n"
                       "    return [b''] * len(requests)\n")
    got = ask(replica, b"", b"")
    assert frames.metadata(got[2]) == [("who", "request-2")]


def test_a_batch_for_a_handler_without_batches_is_single_calls(start):
    replica = start("import time\ndef Handler(req):\n    time.sleep(0.003)\n    return req.input\n").started()
    replica.send(frames.batch(*[frames.call(id, b"%d" % id) for id in range(1, 6)]), frames.call(6, b"6"))
    assert [replica.receive().payload for _ in range(6)] == [b"%d" % id for id in range(1, 7)]
