"""Invokes: many requests of one stream, one after another, replies in their order."""
import queue

import grpc
import pytest

from support.client import Refused, outcome, pb
from support.waiting import wait_until


@pytest.fixture(scope="module", autouse=True)
def functions(gateway):
    gateway.deploy("echo")
    gateway.deploy("kinds")
    gateway.deploy("sleeper", config={"timeout": {"call": "2s"}})


def ask(*pairs):
    return iter([pb.InvokeServiceRequest(Service=name, Input=data) for name, data in pairs])


def test_replies_come_in_order_and_numbered(client):
    data = [b"%d" % n + b"\xff" * n for n in range(200)]
    replies = list(client.stub.Invokes(ask(*[("echo", d) for d in data]), timeout=60))
    assert [r.Output for r in replies] == data
    assert [r.Request for r in replies] == list(range(200))
    assert all(r.Last for r in replies)


def test_a_stream_without_requests(client):
    assert list(client.stub.Invokes(iter([]), timeout=10)) == []


def test_one_stream_calls_several_functions(client):
    replies = list(client.stub.Invokes(ask(("echo", b"a"), ("kinds", b"text b"), ("echo", b"c")), timeout=30))
    assert [r.Output for r in replies] == [b"a", b"b", b"c"]


def test_a_reply_comes_before_the_next_request_is_sent(client):
    requests = queue.Queue()
    stream = client.stub.Invokes(iter(requests.get, None), timeout=30)
    for n in range(5):
        requests.put(pb.InvokeServiceRequest(Service="echo", Input=b"%d" % n))
        assert next(stream).Output == b"%d" % n
    requests.put(None)
    assert list(stream) == []


def test_a_request_that_fails_ends_the_stream_and_later_ones_do_not_run(gateway, client, tmp_path):
    gateway.deploy("ledger", config={"parameters": {"ledger": str(tmp_path / "ran")}})
    got = []
    with pytest.raises(grpc.RpcError) as caught:
        for reply in client.stub.Invokes(
            ask(("ledger", b"first 0"), ("kinds", b"error no"), ("ledger", b"third 0")), timeout=30
        ):
            got.append(reply.Request)
    error = Refused(caught.value)
    assert got == [0]
    assert (error.name, error.executed) == ("UNKNOWN", "yes") and "ValueError" in error.message
    text = (tmp_path / "ran").read_text()
    assert "end first" in text and "third" not in text


def test_an_unknown_function_in_a_stream(client):
    with pytest.raises(grpc.RpcError) as caught:
        list(client.stub.Invokes(ask(("nobody", b"")), timeout=30))
    assert (Refused(caught.value).name, Refused(caught.value).executed) == ("NOT_FOUND", "no")


def test_timeout_call_counts_for_each_request(client):
    replies = list(client.stub.Invokes(ask(*[("sleeper", b"0.9")] * 3), timeout=30))
    assert len(replies) == 3  # 2.7 s in all, over timeout.call.
    with pytest.raises(grpc.RpcError) as caught:
        list(client.stub.Invokes(ask(("sleeper", b"5")), timeout=30))
    assert Refused(caught.value).name == "DEADLINE_EXCEEDED"
    # The wait for another replica counts too, and its start may take longer.
    wait_until(lambda: outcome(client.begin("sleeper", b"0")) == b"awake", 20, "another replica answers")


def test_a_stream_that_is_cancelled_leaves_nothing_running(client):
    stream = client.stub.Invokes(ask(*[("sleeper", b"0.2")] * 50), timeout=60)
    next(stream)
    stream.cancel()
    wait_until(lambda: client.invoke("sleeper", b"0", timeout=30) == "awake", 10)


def test_the_next_request_is_read_ahead_and_not_begun(gateway, client, tmp_path):
    gateway.deploy("ledger", None, "--replace", config={"parameters": {"ledger": str(tmp_path / "ran")}})
    stream = client.stub.Invokes(ask(("ledger", b"one 300"), ("ledger", b"two 0")), timeout=30)
    assert len(list(stream)) == 2
    assert (tmp_path / "ran").read_text().split() == ["start", "one", "end", "one", "start", "two", "end", "two"]
