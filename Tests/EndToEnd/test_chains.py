"""Functions that call functions: over the link, within the caller's deadline, and never round in circles."""
import json
import time

import pytest

from support.background import background
from support.client import outcome, refused
from support.processes import kill
from support.waiting import wait_until


@pytest.fixture(scope="module", autouse=True)
def functions(gateway):
    gateway.deploy("echo")
    for name in ("a", "b", "c"):
        gateway.deploy(name, "caller")


@pytest.fixture
def held(gateway, calls):
    gateway.deploy("held", None, "--replace", config=calls.config())
    return calls


@pytest.fixture
def outer(gateway, calls):
    """A function whose calls are held, to call others from."""
    gateway.deploy("outer", "held", "--replace", config=calls.config())
    return calls


def test_one_function_calls_another(client):
    assert json.loads(client.invoke("a", b"b"))["name"] == "b"
    assert json.loads(client.invoke("a", b"b c"))["name"] == "c"


def test_mesh_and_dcf_are_the_same(client, outer):
    call = client.begin("outer", b"x")
    one = outer.next()
    for word in ("__import__('mesh').mesh_call", "dcf.call"):
        assert one.eval(f"bytes({word}('echo', b'\\xff\\x00 any bytes'))") == b"\xff\x00 any bytes"
        assert one.eval(f"{word}('echo', b'')") in (b"", "")
        assert one.eval(f"bytes({word}('echo', 'text: é'), 'utf-8') if isinstance({word}('echo', 'text: é'), str) "
                        f"else {word}('echo', 'text: é')") == "text: é".encode()
    assert one.eval("len(dcf.call('echo', b'x' * 5_000_000))") == 5_000_000
    one.returns()
    assert outcome(call) == b"done"


def test_from_an_async_handler(gateway, client):
    for name in ("async-a", "async-b"):
        gateway.deploy(name, "caller", config={"handler": {"name": "Async"}, "concurrency": 8})
    assert client.invoke("async-a", b"async-b") == "async-b"
    begun = [client.begin("async-a", b"async-b async-a async-b") for _ in range(2)]
    assert [outcome(call) for call in begun] == [b"async-b"] * 2


def test_the_deadline_goes_along(client):
    assert json.loads(client.invoke("a", b"b c", timeout=9))["remaining"] <= 9.2
    assert json.loads(client.invoke("a", b"b c", timeout=30))["remaining"] > 20


@pytest.mark.alone
def test_the_deadline_holds_in_the_middle_of_a_chain(client, held):
    chained = background(refused, client.invoke, "a", b"held", timeout=1)
    one = held.next()
    assert one.eval("req.remaining()") <= 1.1
    began = time.monotonic()
    assert chained.result(10).name == "DEADLINE_EXCEEDED" and time.monotonic() - began < 3
    one.becomes("req.cancelled", True)
    one.returns()
    assert json.loads(client.invoke("a", b"b"))["name"] == "b"


def test_a_caller_that_leaves_cancels_the_whole_chain(client, held):
    call = client.begin("a", b"b held")
    one = held.next()
    call.cancel()
    one.becomes("req.cancelled", True)
    one.returns()
    wait_until(lambda: json.loads(client.invoke("a", b"b"))["name"] == "b", 10, "a and b are free again")


def test_request_id_and_trace_go_along(client):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    seen = json.loads(client.invoke("a", b"b c", metadata=[("x-request-id", "order-4711"), ("traceparent", trace)]))
    assert seen["request_id"] == "order-4711" and seen["traceparent"].split("-")[1] == trace.split("-")[1]
    made = json.loads(client.invoke("a", b"b c"))
    assert made["request_id"] and made["request_id"] != "order-4711" and len(made["traceparent"]) == 55


def test_an_error_comes_through_with_its_status(client, outer, held):
    call = client.begin("outer", b"x")
    one = outer.next()
    for service, code in (("no-such-function", "NOT_FOUND"), ("Bad Name", "INVALID_ARGUMENT"),
                          ("held@99", "NOT_FOUND")):
        said = one.error(f"dcf.call({service!r}, b'')")
        assert "Error" in said and (code in said or service.split("@")[0] in said), f"{service}: {said}"
    one.returns()
    assert outcome(call) == b"done"
    # What it does not catch is its caller's status.
    chained = background(refused, client.invoke, "a", b"held")
    inner = held.next()
    inner.raises("dcf.Error('OUT_OF_RANGE', 'beyond the last page')")
    error = chained.result(20)
    assert error.name == "OUT_OF_RANGE" and "beyond the last page" in error.message, error
    assert error.executed == "yes"


def test_a_cycle_is_an_error_that_names_the_path(gateway, client):
    for name in ("ring-a", "ring-b"):
        gateway.deploy(name, "caller", config={"concurrency": 64})
    began = time.monotonic()
    error = refused(client.invoke, "ring-a", b"ring-b ring-a " * 40, timeout=30)
    assert error.name == "FAILED_PRECONDITION", error
    assert "ring-a > ring-b > ring-a" in error.message, error
    assert time.monotonic() - began < 20
    assert json.loads(client.invoke("ring-a", b"ring-b"))["name"] == "ring-b"


def test_a_cycle_that_waits_for_itself_does_not_hang(client):
    for chain in (b"a", b"b a", b"b c a"):
        began = time.monotonic()
        error = refused(client.invoke, "a", chain, timeout=20)
        assert error.name in ("FAILED_PRECONDITION", "DEADLINE_EXCEEDED"), error
        assert "a > " in error.message or error.name == "DEADLINE_EXCEEDED", error
        assert time.monotonic() - began < 25
    assert json.loads(client.invoke("a", b"b c", timeout=30))["name"] == "c"


def test_a_function_that_calls_itself_has_another_replica_started(gateway, client):
    gateway.deploy("twice", "caller", config={"replicas": {"min": 1, "max": 2}})
    assert json.loads(client.invoke("twice", b"twice", timeout=30))["name"] == "twice"
    error = refused(client.invoke, "twice", b"twice twice", timeout=30)
    assert error.name == "FAILED_PRECONDITION" and "2 calls at a time" in error.message, error


def test_the_limit_chain_depth(own_gateway):
    gateway = own_gateway("--limit", "chain-depth=3")
    for name in ("a", "b", "c", "d", "e"):
        gateway.deploy(name, "caller")
    assert json.loads(gateway.client.invoke("a", b"b c"))["name"] == "c"
    error = refused(gateway.client.invoke, "a", b"b c d e")
    assert (error.name == "FAILED_PRECONDITION" and "a > b > c > d" in error.message
            and "chain-depth" in error.message), error
    gateway.stop()


def test_a_function_in_a_chain_whose_watcher_dies(client, held):
    chained = background(refused, client.invoke, "a", b"held")
    kill(held.next().pid)
    error = chained.result(20)
    assert error.name == "UNAVAILABLE", error
    assert json.loads(client.invoke("a", b"b"))["name"] == "b"


def test_a_watcher_that_dies_cancels_what_it_called(client, outer, held):
    call = client.begin("outer", b"calls")
    calling = held.next()
    calling.stuck("dcf.call('held', b'called')")
    called = held.next()
    kill(calling.pid)
    assert outcome(call).name == "UNAVAILABLE"
    called.becomes("req.cancelled", True)
    called.returns()


def test_a_stream_is_joined_for_the_one_that_calls_it(gateway, client, outer):
    gateway.deploy("counts", files={"handler.py": "def Handler(req):\n    for n in range(5):\n        yield str(n)\n"})
    call = client.begin("outer", b"x")
    one = outer.next()
    assert one.eval("bytes(dcf.call('counts', b''))") == b"01234"
    one.returns()
    assert outcome(call) == b"done"


def test_a_version_can_be_named(client, outer):
    call = client.begin("outer", b"x")
    one = outer.next()
    assert one.eval("bytes(dcf.call('echo@1', b'x'))") == b"x"
    one.returns()
    assert outcome(call) == b"done"


def test_calls_from_several_threads_of_one_handler(client, outer):
    call = client.begin("outer", b"x")
    one = outer.next()
    assert one.eval(
        "list(__import__('concurrent.futures').futures.ThreadPoolExecutor(8).map("
        "lambda n: int(dcf.call('echo', b'%d' % n)), range(100)))") == list(range(100))
    one.returns()
    assert outcome(call) == b"done"


def test_a_handler_calls_another_while_the_gateway_drains(own_gateway, calls):
    gateway = own_gateway()
    gateway.deploy("echo")
    gateway.deploy("outer", "held", config=calls.config())
    call = gateway.client.begin("outer", b"x")
    one = calls.next()
    gateway.process.terminate()
    wait_until(lambda: "draining: 1 calls" in gateway.text(), 10, "the drain")
    # What an accepted call needs is not a new call.
    assert one.eval("bytes(dcf.call('echo', b'late'))") == b"late"
    one.returns()
    assert outcome(call) == b"done"
    assert gateway.process.wait(10) == 0


def test_a_call_in_the_constructor_or_after_the_reply(gateway, client):
    """There is no call whose deadline it could have; it works, or says so, and does not hang."""
    code = ("import dcf\nclass Handler:\n    def __init__(self):\n"
            "        try:\n            self.said = bytes(dcf.call('echo', b'early')).decode()\n"
            "        except Exception as error:\n            self.said = repr(error)\n"
            "    def __call__(self, req):\n        return self.said\n")
    gateway.deploy("early", files={"handler.py": code})
    said = client.invoke("early")
    assert said == "early" or "Error" in said
