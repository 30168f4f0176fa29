"""How many calls run at once, and where: one by default, N on threads, N on an event loop; replicas by their load."""
import collections

import pytest

from support.client import outcome
from support.waiting import wait_until


def finish(held, begun):
    for one in held:
        one.returns(one.input)
    return [outcome(call) for call in begun]


def test_one_at_a_time_by_default(gateway, client, calls):
    gateway.deploy("held", config=calls.config())
    begun = [client.begin("held", b"%d" % n) for n in range(3)]
    for _ in range(3):
        held = calls.next()
        calls.nothing(0.2)
        held.returns(held.input)
    assert [outcome(call) for call in begun] == [b"0", b"1", b"2"]


def test_threads(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config(concurrency=3))
    begun = [client.begin("held", b"%d" % n) for n in range(5)]
    held = calls.take(3)
    assert len({h.pid for h in held}) == 1 and len({h.thread for h in held}) == 3, held
    calls.nothing()
    # Any of them ends first; the next takes its place.
    held[2].returns(held[2].input)
    fourth = calls.next()
    calls.nothing(0.1)
    fourth.returns(fourth.input)
    assert finish([held[0], held[1], calls.next()], begun) == [b"%d" % n for n in range(5)]


def test_a_thread_that_raises_harms_no_other(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config(concurrency=3))
    begun = {b"%d" % n: client.begin("held", b"%d" % n) for n in range(3)}
    held = {h.input: h for h in calls.take(3)}
    held[b"0"].raises("ValueError('no')")
    held[b"1"].raises("SystemExit(3)")
    for ident, said in ((b"0", "ValueError: no"), (b"1", "SystemExit")):
        error = outcome(begun[ident])
        assert (error.name, error.executed) == ("UNKNOWN", "yes") and said in error.message
    held[b"2"].returns()
    assert outcome(begun[b"2"]) == b"done"
    assert gateway.replicas("held") == [held[b"2"].pid]


def test_an_event_loop(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Async", concurrency=10))
    begun = [client.begin("held", b"%d" % n) for n in range(12)]
    held = calls.take(10)
    assert len({h.pid for h in held}) == 1 and len({h.thread for h in held}) == 1, "one loop in one process"
    calls.nothing()
    # The last that came ends first.
    for one in reversed(held):
        one.returns(one.input)
    assert finish(calls.take(2), begun) == [b"%d" % n for n in range(12)]


def test_an_async_handler_works_without_concurrency(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Async"))
    begun = [client.begin("held", b"%d" % n) for n in range(2)]
    first = calls.next()
    calls.nothing(0.2)
    first.returns(first.input)
    assert finish([calls.next()], begun) == [b"0", b"1"]


def test_an_async_handler_that_raises(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Async", concurrency=2))
    begun = {b"%d" % n: client.begin("held", b"%d" % n) for n in range(2)}
    held = {h.input: h for h in calls.take(2)}
    held[b"0"].raises("ValueError('no')")
    error = outcome(begun[b"0"])
    assert (error.name, error.executed) == ("UNKNOWN", "yes") and "ValueError: no" in error.message
    held[b"1"].returns()
    assert outcome(begun[b"1"]) == b"done"


def test_tasks_that_an_async_handler_leaves_go_on(gateway, client):
    code = """
import asyncio
class Handler:
    def __init__(self):
        self.count = 0
    async def later(self):
        await asyncio.sleep(0.05)
        self.count += 1
    async def __call__(self, req):
        if req.input == b"start":
            self.task = asyncio.get_running_loop().create_task(self.later())
        return str(self.count)
"""
    gateway.deploy("tasks", files={"handler.py": code},
                   config={"concurrency": 2})
    assert client.invoke("tasks", b"start") == "0"
    wait_until(lambda: client.invoke("tasks") == "1", 5, "the task was run though no call was")


def test_an_async_handler_that_blocks_the_loop_is_told(gateway, client):
    code = ("import time\nclass Handler:\n    async def __call__(self, req):\n        time.sleep(1.5)\n"
            "        return 'slept'\n")
    gateway.deploy("blocks", files={"handler.py": code}, config={"concurrency": 4})
    begun = [client.begin("blocks") for _ in range(2)]
    assert [outcome(call) for call in begun] == [b"slept"] * 2
    log = wait_until(lambda: "block" in (text := client.log("blocks")).lower() and text, 5,
                     "the log says that the loop is blocked")
    assert "event loop" in log.lower(), log


def test_the_least_loaded_replica_is_chosen(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config(concurrency=2, replicas={"min": 2, "max": 2}))
    begun = [client.begin("held", b"%d" % n) for n in range(2)]
    first = calls.take(2)
    assert len({h.pid for h in first}) == 2, "two calls, two replicas"
    begun += [client.begin("held", b"%d" % n) for n in range(2, 4)]
    second = calls.take(2)
    assert set(collections.Counter(h.pid for h in first + second).values()) == {2}
    # Both calls of one replica end: the next two go there.
    free = first[0].pid
    for one in [h for h in first + second if h.pid == free]:
        one.returns(one.input)
    begun += [client.begin("held", b"%d" % n) for n in range(4, 6)]
    third = calls.take(2)
    assert {h.pid for h in third} == {free}
    assert sorted(finish([h for h in first + second if h.pid != free] + third, begun)) == [b"%d" % n for n in range(6)]


@pytest.mark.parametrize("kind", ["Handler", "Async"])
def test_a_watcher_that_dies_takes_only_its_own_calls(gateway, client, calls, kind):
    gateway.deploy("held", None, "--replace", config=calls.config(kind, concurrency=2, replicas={"min": 2, "max": 2}))
    begun = {b"%d" % n: client.begin("held", b"%d" % n) for n in range(4)}
    held = calls.take(4)
    dead = held[0].pid
    held[0].stuck("os._exit(1)")
    for one in held:
        if one.pid == dead:
            error = outcome(begun[one.input])
            assert (error.name, error.executed) == ("UNAVAILABLE", "maybe"), error
            assert error.trailers["grpc-retry-pushback-ms"] == "-1"
        else:
            one.returns(one.input)
            assert outcome(begun[one.input]) == one.input


def test_concurrency_together_with_batch_is_refused(gateway, client, calls):
    done = gateway.deploy("both", "held", config=calls.config(concurrency=2, batch={"max_size": 2}), check=False)
    assert done.returncode == 1 and "concurrency" in done.error and "batch" in done.error
    assert "both" not in client.names()
