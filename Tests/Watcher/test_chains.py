"""Calls that a handler makes to other functions."""
import pytest

import frames
from replica import once, settings
from test_calls import handler

RELAY = handler("import mesh\nreturn mesh.mesh_call('other', req.input)")


def relay(replica, id=1, **reply):
    """Receives a CallOut and answers it."""
    asked = frames.CallOut.of(replica.receive())
    replica.send(frames.call_reply(asked.id, **reply))
    return asked


def test_mesh_call(start, each_python):
    replica = start(RELAY, python=each_python).started()
    for id in range(1, 4):
        replica.send(frames.call(id, b"question"))
        asked = relay(replica, data=b"answer")
        assert (asked.parent, asked.micros, asked.service, asked.metadata, asked.data) == (
            id, 0, "other", [], b"question")
        answer = replica.receive()
        assert (answer.kind, answer.payload) == (frames.REPLY, b"answer")
    replica.drain()
    assert replica.status() == 0


@pytest.mark.parametrize("length", [0, 15_000, 16_384, 70_000, 5_000_000])
def test_lengths(start, length):
    replica = start(RELAY).started()
    data = bytes(range(256)) * (length // 256 + 1)
    replica.send(frames.call(1, data[:length]))
    assert relay(replica, data=data[:length][::-1]).data == data[:length]
    assert replica.receive().payload == data[:length][::-1]


def test_dcf_call(start):
    replica = start(handler("import dcf\nreturn dcf.call('b@3', 'text', timeout=1.5, metadata={'k': 'v'})")).started()
    replica.send(frames.call(7))
    asked = relay(replica, data=b"x")
    assert (asked.parent, asked.micros, asked.service, asked.metadata, asked.data) == (
        7, 1_500_000, "b@3", [("k", "v")], b"text")
    assert replica.receive().payload == b"x"


def test_what_fails_is_the_callers_status(start):
    replica = start("import dcf\ndef Handler(req):\n    try: return dcf.call('b')\n    except dcf.Error as error:\n"
                    "        if req.input: raise\n"
                    "        return '%s %s %s' % (error.code, error.number, error.message)\n").started()
    replica.send(frames.call(1))
    relay(replica, code=5, message="there is no b")
    assert replica.receive().payload == b"NOT_FOUND 5 there is no b"
    replica.send(frames.call(2, b"on"))
    relay(replica, code=9, message="a > b > a")
    error = frames.Error.of(replica.receive())
    assert (error.code, error.message, error.executed) == (frames.FAILED_PRECONDITION, "a > b > a", frames.YES)


@pytest.mark.parametrize("arguments, words", [
    ("'b', 7", "TypeError"), ("'', b''", "the name of a function is needed"), ("7, b''", "the name of a function"),
    ("'b', b'', 0", "a timeout is more than 0 seconds"), ("'b', b'x' * 100_001", "the input has 100001 bytes"),
    ("'b', b'', None, {'k': 7}", "a str is needed"),
])
def test_wrong_arguments(start, arguments, words):
    replica = start(handler(f"import dcf\nreturn dcf.call({arguments})"), max_body=100_000).started()
    assert words in replica.error().message


def test_calls_while_waiting_are_kept(start):
    """The thread that waits reads the link for the whole replica."""
    replica = start(RELAY).started()
    replica.send(frames.call(1, b"1"), frames.call(2, b"2"))
    first = frames.CallOut.of(replica.receive())
    replica.send(frames.call(3, b"3"), frames.call(4, b"4"), frames.cancel(4), frames.frame(frames.RECALL))
    got = [replica.receive() for _ in range(2)]
    assert frames.Error.of(next(a for a in got if a.kind == frames.ERROR)).code == frames.CANCELLED
    assert frames.returned(next(a for a in got if a.kind == frames.RETURNED)) == [2, 3]
    replica.send(frames.call_reply(first.id, b"one"))
    assert replica.receive().payload == b"one"


def test_a_timeout_is_the_gateways_to_tell(start):
    replica = start(handler("import dcf\ntry: dcf.call('b', timeout=30)\n"
                            "except dcf.Error as error: return str(error)")).started()
    replica.send(frames.call(1))
    relay(replica, code=4, message="too slow")
    assert replica.receive().payload == b"DEADLINE_EXCEEDED: too slow"


@pytest.mark.parametrize("prefix, wait", [("", ""), ("async ", "await ")])
def test_an_answer_that_never_comes(start, prefix, wait):
    name = "call_async" if prefix else "call"
    replica = start(f"import dcf\n{prefix}def Handler(req):\n    try: {wait}dcf.{name}('b', timeout=0.05)\n"
                    "    except dcf.Error as error: return str(error)\n").started()
    replica.send(frames.call(1))
    asked = frames.CallOut.of(replica.receive())
    cancel = replica.receive()
    assert (cancel.kind, cancel.id) == (frames.CANCEL, asked.id)
    assert replica.receive().payload == b"DEADLINE_EXCEEDED: the other function did not answer in time"
    replica.send(frames.call_reply(asked.id, b"late"))
    replica.send(frames.call(2))
    assert frames.CallOut.of(replica.receive()).id != asked.id


def test_a_cancelled_caller_waits_no_more(start):
    replica = start(RELAY).started()
    replica.send(frames.call(1))
    asked = frames.CallOut.of(replica.receive())
    replica.send(frames.cancel(1))
    cancel = replica.receive()
    assert (cancel.kind, cancel.id) == (frames.CANCEL, asked.id)
    assert frames.Error.of(replica.receive()).code == frames.CANCELLED


THREADS = """
import dcf, threading
from concurrent.futures import ThreadPoolExecutor
class Handler:
    def __call__(self, req):
        with ThreadPoolExecutor(8) as pool:
            return b",".join(pool.map(lambda i: dcf.call("square", str(i)), range(40)))
"""


def test_from_several_threads(start, each_python):
    replica = start(THREADS, python=each_python).started()
    replica.send(frames.call(1))
    for _ in range(40):
        asked = frames.CallOut.of(replica.receive())
        assert asked.parent == 1
        replica.send(frames.call_reply(asked.id, b"%d" % int(asked.data) ** 2))
    assert replica.receive().payload == b",".join(b"%d" % i**2 for i in range(40))
    replica.drain()
    assert replica.status() == 0


def test_a_thread_that_outlives_its_call(start):
    """The thread reads the link while the main thread is idle, and then gives the reader's role back."""
    replica = start("""
import dcf, threading
def ask():
    print("told", dcf.call("later"), flush=True)
def Handler(req):
    if req.input: return req.input
    threading.Thread(target=ask).start()
    return b"started"
""").started()
    replica.send(frames.call(1))
    got = [replica.receive(), replica.receive()]
    asked = frames.CallOut.of(next(a for a in got if a.kind == frames.CALL_OUT))
    for id in range(2, 200):
        assert replica.reply(b"%d" % id, id=id) == b"%d" % id
    replica.send(frames.call_reply(asked.id, b"x"))
    replica.out.wait_for(b"told b'x'\n")
    for id in range(200, 300):
        assert replica.reply(b"%d" % id, id=id) == b"%d" % id
    replica.drain()
    assert replica.status() == 0


def test_signal_handlers_run_while_a_thread_reads(start):
    import os
    import signal
    replica = start("""
import dcf, signal, threading
signal.signal(signal.SIGUSR1, lambda *_: print("noted", flush=True))
def Handler(req):
    threading.Thread(target=dcf.call, args=("later",), daemon=True).start()
    return b"started"
""").started()
    replica.send(frames.call(1))
    assert {replica.receive().kind for _ in range(2)} == {frames.REPLY, frames.CALL_OUT}
    os.kill(replica.process.pid, signal.SIGUSR1)
    replica.out.wait_for(b"noted\n")


def test_a_signal_handler_that_raises_while_waiting(start):
    import os
    import signal
    replica = start("""
import dcf, signal
def note(*_): raise KeyError("interrupted")
signal.signal(signal.SIGUSR1, note)
def Handler(req): return dcf.call("later")
""").started()
    replica.send(frames.call(1))
    asked = frames.CallOut.of(replica.receive())
    os.kill(replica.process.pid, signal.SIGUSR1)
    cancel = replica.receive()
    assert (cancel.kind, cancel.id) == (frames.CANCEL, asked.id)
    assert frames.Error.of(replica.receive()).message.startswith("KeyError: 'interrupted'")


ASYNC = """
import asyncio, dcf
class Handler:
    async def __call__(self, req):
        parts = await asyncio.gather(*[dcf.call_async("square", str(i)) for i in range(20)])
        return b",".join(parts)
"""


def test_call_async(start, each_python):
    replica = start(ASYNC, python=each_python, settings=settings(concurrency=4)).started()
    replica.send(frames.call(1), frames.call(2))
    parents = []
    for _ in range(40):
        asked = frames.CallOut.of(replica.receive())
        parents.append(asked.parent)
        replica.send(frames.call_reply(asked.id, b"%d" % int(asked.data) ** 2))
    assert sorted(parents) == [1] * 20 + [2] * 20
    for _ in range(2):
        assert replica.receive().payload == b",".join(b"%d" % i**2 for i in range(20))
    replica.drain()
    assert replica.status() == 0


@pytest.mark.parametrize("expression", [
    "dcf.call('b')", "await asyncio.to_thread(dcf.call, 'b')", "await asyncio.to_thread(mesh.mesh_call, 'b')"])
def test_plain_calls_in_an_async_handler(start, expression):
    replica = start(f"import asyncio, dcf, mesh\nasync def Handler(req): return {expression}\n").started()
    replica.send(frames.call(3))
    assert relay(replica, data=b"fine").parent == 3
    assert replica.receive().payload == b"fine"


def test_call_async_in_a_plain_handler(start):
    replica = start("import asyncio, dcf\ndef Handler(req): return asyncio.run(dcf.call_async('b'))\n").started()
    replica.send(frames.call(3))
    assert relay(replica, data=b"fine").parent == 3
    assert replica.receive().payload == b"fine"


def test_a_task_that_is_cancelled_abandons_its_call(start):
    replica = start("import asyncio, dcf\nasync def Handler(req):\n"
                    "    try: await asyncio.wait_for(dcf.call_async('b'), 0.05)\n"
                    "    except asyncio.TimeoutError: return b'given up'\n").started()
    replica.send(frames.call(1))
    asked = frames.CallOut.of(replica.receive())
    got = [replica.receive(), replica.receive()]
    assert {(a.kind, a.id) for a in got} == {(frames.CANCEL, asked.id), (frames.REPLY, 1)}


def test_from_threads_of_the_handler(start):
    replica = start(RELAY, settings=settings(concurrency=4)).started()
    replica.send(*[frames.call(id, b"%d" % id) for id in range(1, 9)])
    answered = {}
    while len(answered) < 8:
        got = replica.receive()
        if got.kind == frames.CALL_OUT:
            asked = frames.CallOut.of(got)
            assert asked.data == b"%d" % asked.parent
            replica.send(frames.call_reply(asked.id, asked.data * 2))
        else:
            answered[got.id] = got.payload
    assert answered == {id: b"%d" % id * 2 for id in range(1, 9)}


def test_in_a_batch_the_parent_is_the_one_who_waits_longest(start):
    replica = start("import mesh\ndef Handler(requests): return [mesh.mesh_call('b')] * len(requests)\n",
                    settings=settings(batch={"max_size": 4, "retry": True})).started()
    replica.send(frames.batch(frames.call(1, micros=10_000_000), frames.call(2, micros=50_000_000),
                              frames.call(3, micros=20_000_000)))
    assert relay(replica, data=b"x").parent == 2
    assert [replica.receive().payload for _ in range(3)] == [b"x"] * 3


def test_a_stream_that_calls(start):
    replica = start("import mesh\ndef Handler(req):\n"
                    "    for i in range(5): yield mesh.mesh_call('b', str(i))\n").started()
    replica.send(frames.call(1, flags=frames.STREAM))
    for i in range(5):
        assert relay(replica, data=b"%d" % i).data == b"%d" % i
        assert replica.receive().payload == b"%d" % i
    assert replica.receive().kind == frames.END


def test_a_forked_child_cannot_call(start):
    replica = start(handler("""import dcf, os
pid = os.fork()
if pid == 0:
    try: dcf.call('b')
    except ConnectionError as error: print(error, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
return b''""")).started()
    assert replica.reply() == b""
    assert b"other functions can be called only by a replica that is ready" in replica.out.wait_for(b"\n")


def test_before_the_replica_is_ready(start):
    replica = start("import dcf\nclass Handler:\n    def __init__(self):\n        try: dcf.call('b')\n"
                    "        except dcf.Error as error: self.error = error\n"
                    "    def __call__(self, req): return str(self.error)\n").started()
    assert replica.reply() == (b"FAILED_PRECONDITION: other functions can be called once this replica is ready, "
                               b"not while it starts")


def test_without_a_gateway(folder, each_python):
    done = once(folder, each_python, b"", RELAY)
    assert done.returncode == 1
    assert b"FAILED_PRECONDITION: there is no gateway to call other functions through" in done.stderr


def test_answers_that_nobody_waits_for(start):
    replica = start(handler("return req.input")).started()
    replica.send(frames.call_reply(99, b"x" * 100_000), frames.call_reply(98, b"y"))
    assert replica.reply(b"fine") == b"fine"


def test_an_answer_that_does_not_parse(start):
    replica = start(RELAY).started()
    replica.send(frames.call(1))
    asked = frames.CallOut.of(replica.receive())
    replica.send(frames.frame(frames.CALL_REPLY, b"\0", id=asked.id))
    assert b"frame callReply: its head ends early" in replica.err.wait_for(b"ends early")
