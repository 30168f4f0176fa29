"""What travels with a request: id, trace, metadata both ways, the log's lines, and the status that a handler
chooses."""
import re

import grpc
import pytest

from support.client import Refused, metadata_of, outcome, refused
from support.streams import Stream
from support.waiting import wait_until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def held(gateway, calls):
    gateway.deploy("held", None, "--replace", config=calls.config())
    return calls


def test_request_id_and_trace_are_taken_and_echoed(client, held):
    call = client.begin("held", b"x", metadata=[("x-request-id", "order-4711"), ("traceparent", TRACE)])
    one = held.next()
    assert (one.eval("req.request_id") == "order-4711"
            and one.eval("req.traceparent").split("-")[1] == TRACE.split("-")[1])
    assert one.eval("dcf.current_request_id()") == "order-4711"
    one.returns()
    assert outcome(call) == b"done"
    answered = metadata_of(call)
    assert answered.get("x-request-id") == "order-4711", answered
    assert answered.get("traceparent", "").split("-")[1:2] == TRACE.split("-")[1:2], answered


def test_request_id_and_trace_are_made_and_told(client, held):
    seen = set()
    for _ in range(2):
        call = client.begin("held", b"x")
        one = held.next()
        made, trace = one.eval("req.request_id"), one.eval("req.traceparent")
        one.returns()
        assert outcome(call) == b"done"
        answered = metadata_of(call)
        assert (answered.get("x-request-id"), answered.get("traceparent")) == (made, trace), answered
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", trace), trace
        seen |= {made, trace}
    assert len(seen) == 4, "each call has an id and a trace of its own"


def test_they_are_told_with_an_error_too(client, held):
    call = client.begin("held", b"x", metadata=[("x-request-id", "failing-1")])
    held.next().raises("ValueError('no')")
    assert outcome(call).name == "UNKNOWN"
    assert metadata_of(call).get("x-request-id") == "failing-1", metadata_of(call)


def test_and_by_a_stream(client, held):
    with Stream(client, metadata=[("x-request-id", "stream-1"), ("traceparent", TRACE)]) as stream:
        stream.send("held", b"a").done_sending()
        one = held.next()
        assert (one.eval("req.request_id").startswith("stream-1")
                and one.eval("req.traceparent").split("-")[1] == TRACE.split("-")[1])
        one.returns()
        assert stream.rest()[1] is None
        assert metadata_of(stream.call).get("x-request-id") == "stream-1", metadata_of(stream.call)


@pytest.mark.parametrize(
    "trace", ["", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01", TRACE + "-more", "ff" + TRACE[2:], "x" * 500])
def test_a_trace_that_is_none_is_replaced(client, held, trace):
    call = client.begin("held", b"x", metadata=[("traceparent", trace)])
    one = held.next()
    seen = one.eval("req.traceparent")
    assert seen != trace and re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", seen), seen
    one.returns()
    assert outcome(call) == b"done"


@pytest.mark.parametrize("ident", ["", " ", "x" * 4000, "with space", "semi;colon"])
def test_odd_request_ids_do_no_harm(gateway, client, held, ident):
    call = client.begin("held", b"x", metadata=[("x-request-id", ident)])
    one = held.next()
    seen = one.eval("req.request_id")
    assert 0 < len(seen) <= 4000
    one.eval("print('a line of the odd one', flush=True)")
    one.returns()
    assert outcome(call) == b"done"
    wait_until(lambda: "a line of the odd one" in client.log("held"), 5, "the line is in the log")


def test_other_metadata_reaches_the_handler(client, held):
    call = client.begin("held", b"x", metadata=[("user", "Kim"), ("x-tenant", "blue"), ("empty", "")])
    one = held.next()
    seen = one.eval("dict(req.metadata)")
    assert seen["user"] == "Kim" and seen["x-tenant"] == "blue" and seen.get("empty") == ""
    assert not [k for k in seen if k.startswith((":", "grpc-", "dcf-")) or k in ("content-type", "te", "user-agent")], (
        seen)
    one.returns()
    assert outcome(call) == b"done"
    # The next call has none of it.
    call = client.begin("held", b"x")
    one = held.next()
    assert not {"user", "x-tenant"} & set(one.eval("dict(req.metadata)"))
    one.returns()
    assert outcome(call) == b"done"


def test_a_handler_sets_reply_metadata(client, held):
    for ending in ("returns", "raises"):
        call = client.begin("held", b"x")
        one = held.next()
        one.eval("req.set_metadata('x-model', 'resnet-50')")
        one.eval("req.set_metadata('cache', 'first')")
        one.eval("req.set_metadata('cache', 'miss')")
        one.returns() if ending == "returns" else one.raises("dcf.Error('NOT_FOUND', 'no')")
        assert isinstance(outcome(call), bytes if ending == "returns" else Refused)
        answered = metadata_of(call)
        assert (answered.get("x-model"), answered.get("cache")) == ("resnet-50", "miss"), f"{ending}: {answered}"


@pytest.mark.parametrize("key", ["content-type", "te", "user-agent", "x-request-id", "traceparent"])
def test_reply_metadata_that_belongs_to_the_front(client, held, key):
    """A handler may set it, because another front may carry it. gRPC has its own."""
    call = client.begin("held", b"x")
    one = held.next()
    assert one.eval(f"req.set_metadata({key!r}, 'the-handlers')") is None
    one.returns()
    assert outcome(call) == b"done"
    assert "the-handlers" not in metadata_of(call).values()


def test_a_stream_sets_reply_metadata(gateway, client):
    gateway.deploy("streams",
                   files={"handler.py": "def Handler(req):\n    yield 'a'\n    req.set_metadata('pieces', '1')\n"})
    with Stream(client) as stream:
        assert stream.send("streams").done_sending().rest()[1] is None
        assert metadata_of(stream.call).get("pieces") == "1", metadata_of(stream.call)


@pytest.mark.parametrize(
    "key", ["grpc-status", "grpc-anything", "dcf-executed", "dcf-mine", ":path", "", "Upper", "with space",
            "umlaut-ü", "new\nline"])
def test_metadata_keys_that_are_not_the_handlers(client, held, key):
    call = client.begin("held", b"x")
    one = held.next()
    said = one.error(f"req.set_metadata({key!r}, 'x')")
    assert "ValueError" in said, said
    one.returns()
    assert outcome(call) == b"done"
    assert metadata_of(call).get("dcf-executed") in (None, "yes")


@pytest.mark.parametrize("arguments",
                         ["'key', 'line\\nbreak'", "'key', 'ü'", "'key', 5", "5, 'x'", "'key'", "'key', 'x' * 9000"])
def test_metadata_values_that_do_not_fit(client, held, arguments):
    call = client.begin("held", b"x")
    one = held.next()
    said = one.error(f"req.set_metadata({arguments})")
    assert "ValueError" in said or "TypeError" in said, said
    one.returns()
    assert outcome(call) == b"done"


def test_metadata_over_the_limit(own_gateway, calls):
    gateway = own_gateway("--limit", "metadata=2KiB")
    gateway.deploy("held", config=calls.config())
    call = gateway.client.begin("held", b"x", metadata=[("big", "x" * 1000)])
    one = calls.next()
    assert one.eval("len(req.metadata['big'])") == 1000
    one.returns()
    assert outcome(call) == b"done"
    for metadata in ([("big", "x" * 4000)], [(f"k{n}", "x" * 100) for n in range(50)], [("x" * 3000, "v")]):
        error = outcome(gateway.client.begin("held", b"x", metadata=metadata))
        assert (error.name, error.executed) == ("RESOURCE_EXHAUSTED", "no"), error
    assert outcome(gateway.client.begin("held", b"quick")) == b"quick"
    gateway.stop()


ALL_CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def test_dcf_error_chooses_the_status(client, held):
    for code in ALL_CODES:
        for spelled in (repr(code.name), str(code.value[0])):
            call = client.begin("held", b"x")
            held.next().raises(f"dcf.Error({spelled}, 'said: é')")
            error = outcome(call)
            assert (error.name, error.executed, error.message) == (code.name, "yes", "said: é"), f"{spelled}: {error}"


def test_dcf_error_takes_grpcs_own_codes(client, held):
    """An object that has the value grpc.StatusCode's members have; the handler's Python need not have grpcio."""
    call = client.begin("held", b"x")
    held.next().raises(
        "dcf.Error(__import__('enum').Enum('StatusCode', {'NOT_FOUND': (5, 'not found')}).NOT_FOUND, 'no')")
    assert outcome(call).name == "NOT_FOUND"


@pytest.mark.parametrize("code", ["0", "'OK'", "17", "-1", "'NO_SUCH'", "None", "2.5", "''"])
def test_a_code_that_is_none(client, held, code):
    call = client.begin("held", b"x")
    one = held.next()
    assert "Error" in one.error(f"dcf.Error({code}, 'x')")
    one.returns()
    assert outcome(call) == b"done"


def test_a_long_or_odd_message(client, held):
    for message in ("x" * 100_000, "", "line\nbreak\ttab", "\ud800"):
        call = client.begin("held", b"x")
        held.next().raises(f"dcf.Error('NOT_FOUND', {message!r})")
        error = outcome(call)
        assert error.name == "NOT_FOUND" and len(error.message) < 4096, error
    assert outcome(client.begin("held", b"quick")) == b"quick"


def test_each_line_of_the_log_has_its_request(gateway, client, held):
    gateway.deploy("logs", "held", "--replace", config=held.config(concurrency=2))
    begun = [client.begin("logs", b"%d" % n, metadata=[("x-request-id", f"ident-{n}")]) for n in range(2)]
    ones = {one.input: one for one in held.take(2)}
    # Both print, and log, in turn.
    for turn in range(3):
        for n in range(2):
            ones[b"%d" % n].eval(f"print('printed {n}.{turn}', flush=True)")
            ones[b"%d" % n].eval(f"__import__('logging').getLogger('mine').warning('logged {n}.{turn}')")
    for one in ones.values():
        one.returns()
    assert [outcome(call) for call in begun] == [b"done"] * 2
    log = wait_until(
        lambda: all(f"printed {n}.2" in (text := client.log("logs")) and f"logged {n}.2" in text for n in range(2))
        and text, 10, "every line is in the log")
    for n in range(2):
        for turn in range(3):
            for word in ("printed", "logged"):
                line = next(line for line in log.splitlines() if f"{word} {n}.{turn}" in line)
                assert f"ident-{n}" in line and f"ident-{1 - n}" not in line, line
        only = gateway.dcf("function", "log", "logs", "--request", f"ident-{n}").text
        assert [f"{word} {m}.{turn}" in only for m in range(2) for word in ("printed", "logged") for turn in range(3)] \
            == [m == n for m in range(2) for _ in range(6)], only
    assert gateway.dcf("function", "log", "logs", "--request", "ident-none").text == ""


def test_an_async_handlers_lines_have_their_request(gateway, client, calls):
    gateway.deploy("logs", "held", "--replace", config=calls.config("Async", concurrency=2))
    begun = [client.begin("logs", b"%d" % n, metadata=[("x-request-id", f"async-{n}")]) for n in range(2)]
    for one in calls.take(2):
        one.eval(f"print('said {one.input.decode()}', flush=True)")
        one.returns()
    assert [outcome(call) for call in begun] == [b"done"] * 2
    log = wait_until(lambda: "said 0" in (text := client.log("logs")) and "said 1" in text and text, 10, "both lines")
    for n in range(2):
        assert f"async-{n}" in next(line for line in log.splitlines() if f"said {n}" in line)


def test_a_chains_lines_are_found_by_the_one_id(gateway, client, held):
    gateway.deploy("prints", files={"handler.py": "def Handler(req):\n    print('from prints')\n    return 'x'\n"})
    call = client.begin("held", b"x", metadata=[("x-request-id", "chain-99")])
    one = held.next()
    one.eval("print('from held', flush=True)")
    one.eval("dcf.call('prints', b'')")
    one.returns()
    assert outcome(call) == b"done"
    for name, words in (("held", "from held"), ("prints", "from prints")):
        wait_until(
            lambda name=name, words=words: words in gateway.dcf("function", "log", name, "--request", "chain-99").text,
            5, f"{words!r} under the id")


def test_an_unknown_version_names_those_that_are_kept(gateway, client, held):
    error = refused(client.invoke, "held@99")
    assert (error.name, error.executed) == ("NOT_FOUND", "no")
    current = client.meta("held").Version
    assert "99" in error.message and re.search(rf"\b{current}\b", error.message), error
    for name in ("held@", "held@x", "held@-1", "held@0", "held@1@2", "@1", "held@99999999999999999999999", "held@ 1",
                 "held@1 "):
        error = refused(client.invoke, name)
        assert error.name in ("INVALID_ARGUMENT", "NOT_FOUND") and error.executed == "no", f"{name}: {error}"
