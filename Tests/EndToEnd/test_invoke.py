"""One call: what goes in, what comes out, and every way it can go wrong."""
import threading
import time

import grpc
import pytest

from support.client import Client, Refused, outcome, pb, refused
from support.waiting import wait_until

LIMIT = 64 << 20


@pytest.fixture(scope="module", autouse=True)
def functions(gateway):
    gateway.deploy("echo")
    gateway.deploy("kinds", config={"timeout": {"call": "20s"}})
    gateway.deploy("sleeper", config={"timeout": {"call": "2s"}})


@pytest.mark.parametrize("data", [b"", b"x", b"hello", "안녕".encode(), b"\x00\x01\n\r\t", b"a" * 5_000_000])
def test_text_comes_back(client, data):
    assert client.invoke("echo", data) == data.decode()


@pytest.mark.parametrize("data", [b"", bytes(range(256)), b"\xff" * 1000, bytes(range(256)) * 20_000])
def test_bytes_come_back(client, data):
    assert client.invoke_bytes("echo", data) == data


def test_exactly_64_mib_passes(client):
    # Service and the lengths count too: the message is what has 64 MiB.
    shell = len(pb.InvokeServiceRequest(Service="echo", Input=b"x" * (LIMIT - 1000)).SerializeToString()) - (
        LIMIT - 1000)
    assert len(client.invoke_bytes("echo", b"x" * (LIMIT - shell))) == LIMIT - shell


def test_one_byte_more_than_64_mib_of_input_is_refused(client):
    error = refused(client.invoke_bytes, "echo", b"x" * (LIMIT + 1))
    assert (error.name, error.executed) == ("RESOURCE_EXHAUSTED", "no")
    assert "64" in error.message


def test_a_reply_above_the_limit_is_refused(client):
    assert len(client.invoke_bytes("kinds", b"big %d" % (LIMIT - 1000))) == LIMIT - 1000
    error = refused(client.invoke_bytes, "kinds", b"big %d" % (LIMIT + 1))
    assert (error.name, error.executed) == ("RESOURCE_EXHAUSTED", "yes")
    assert client.invoke("kinds", b"text still there") == "still there"


@pytest.mark.parametrize("kind", ["text", "bytes", "bytearray", "memoryview", "array"])
def test_text_and_bytes_like_replies(client, kind):
    assert client.invoke("kinds", kind.encode() + b" word") == "word"
    assert client.invoke_bytes("kinds", kind.encode() + b" word") == b"word"


def test_a_strided_view_is_a_reply_or_a_clear_error(client):
    try:
        assert client.invoke("kinds", b"strided w-o-r-d-") == "word"
    except Refused as error:
        assert (error.name, error.executed) == ("INTERNAL", "yes")


def test_a_reply_that_is_not_utf8_over_invoke_names_the_way_out(client):
    error = refused(client.invoke, "kinds", b"binary")
    assert (error.name, error.executed) == ("INTERNAL", "yes")
    assert "InvokeBytes" in error.message and "UTF-8" in error.message
    assert client.invoke_bytes("kinds", b"binary") == b"\xff\xfe\x00\x80"


def test_text_with_a_lone_surrogate(client):
    error = refused(client.invoke_bytes, "kinds", b"surrogate")
    assert error.executed == "yes" and error.name in ("INTERNAL", "UNKNOWN")


@pytest.mark.parametrize(
    "kind, said", [("int", "int"), ("none", "None"), ("dict", "json.dumps"), ("list", "list")])
def test_a_reply_of_a_wrong_type_says_what_came(client, kind, said):
    error = refused(client.invoke, "kinds", kind.encode())
    assert (error.name, error.executed) == ("INTERNAL", "yes")
    assert said in error.message


@pytest.mark.parametrize(
    "kind, said",
    [("error", "ValueError: bad input"), ("oddity", "Oddity: bad input"), ("exit", "SystemExit"),
     ("interrupt", "KeyboardInterrupt"), ("silent", "MemoryError"), ("deep", "RecursionError")])
def test_a_handler_that_raises(client, kind, said):
    error = refused(client.invoke, "kinds", kind.encode() + b" bad input")
    assert (error.name, error.executed) == ("UNKNOWN", "yes")
    assert said in error.message
    assert "handler.py" in error.message
    assert client.invoke("kinds", b"text next") == "next"


def test_a_long_error_reaches_the_caller_shortened(client):
    error = refused(client.invoke, "kinds", b"long")
    assert (error.name, error.executed) == ("UNKNOWN", "yes")
    assert "RuntimeError" in error.message


def test_the_whole_traceback_is_in_the_log(gateway, client):
    refused(client.invoke, "kinds", b"error find me 4711")
    log = wait_until(lambda: "find me 4711" in (text := client.log("kinds")) and text, 5, "the traceback in the log")
    assert "Traceback (most recent call last)" in log and "handler.py" in log


def test_an_unknown_function(client):
    error = refused(client.invoke, "nobody", b"x")
    assert (error.name, error.executed) == ("NOT_FOUND", "no")
    assert '"nobody"' in error.message


def test_a_misspelled_function_suggests_the_nearest(client):
    assert '"echo"' in refused(client.invoke, "ecko", b"x").message


@pytest.mark.parametrize("name", ["", "Echo", "1echo", "a/b", "a" * 64, "a" * 10_000, "a b", "a\n", "../echo", "é"])
def test_a_bad_name(client, name):
    error = refused(client.invoke, name, b"x")
    assert (error.name, error.executed) == ("INVALID_ARGUMENT", "no")
    assert len(error.message) < 1000


def test_a_method_that_does_not_exist(client):
    call = client.channel.unary_unary("/pb.Gateway/Nothing")
    try:
        call(b"", timeout=5)
        raise AssertionError("was answered")
    except grpc.RpcError as error:
        seen = Refused(error)
    assert (seen.name, seen.executed) == ("UNIMPLEMENTED", "no")
    with pytest.raises(grpc.RpcError) as other:
        client.channel.unary_unary("/no.such.Service/Method")(b"", timeout=5)
    assert other.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("method", ["Invoke", "InvokeBytes", "List", "GetMeta", "Deploy"])
def test_a_message_that_is_not_protobuf(client, method):
    call = client.channel.unary_unary(f"/pb.Gateway/{method}")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\x0a\xff\xff\xff\xff\x0f", timeout=5)
    assert Refused(caught.value).name in ("INVALID_ARGUMENT", "INTERNAL")
    assert Refused(caught.value).executed == "no"


def test_fields_that_are_not_known_are_skipped(client):
    message = pb.InvokeServiceRequest(Service="echo", Input=b"hi").SerializeToString()
    call = client.channel.unary_unary("/pb.Gateway/Invoke", response_deserializer=pb.Message.FromString)
    assert call(b"\xc0\x3e\x01" + message + b"\x9a\x06\x03abc", timeout=5).Msg == "hi"


def test_the_last_of_a_repeated_field_counts(client):
    call = client.channel.unary_unary("/pb.Gateway/Invoke", response_deserializer=pb.Message.FromString)
    twice = b"\x12\x03one\x0a\x01x\x0a\x04echo\x12\x03two"
    assert call(twice, timeout=5).Msg == "two"


@pytest.mark.alone
def test_the_callers_deadline(client):
    began = time.monotonic()
    error = refused(client.invoke, "sleeper", b"1.5", timeout=0.3)
    assert error.name == "DEADLINE_EXCEEDED"
    assert time.monotonic() - began < 1.4
    assert client.invoke("sleeper", b"0", timeout=30) == "awake"


def test_timeout_call(client):
    error = refused(client.invoke, "sleeper", b"10", timeout=30)
    assert (error.name, error.executed) == ("DEADLINE_EXCEEDED", "maybe")
    # The wait for another replica counts too, and its start may take longer.
    wait_until(lambda: outcome(client.begin("sleeper", b"0")) == b"awake", 20, "another replica answers")


def test_a_call_queued_past_its_deadline_never_starts(gateway, client, tmp_path):
    gateway.deploy("ledger", config={"parameters": {"ledger": str(tmp_path / "ran")}})
    first = client.begin("ledger", b"first 3000")
    wait_until(lambda: "start first" in (tmp_path / "ran").read_text(), 5)
    error = refused(client.invoke_bytes, "ledger", b"late 0", timeout=0.2)
    assert error.name == "DEADLINE_EXCEEDED"
    (cancelled,) = client.queue_up("ledger", [b"cancelled 0"])
    cancelled.cancel()
    first.result()
    assert client.invoke_bytes("ledger", b"last 0")
    text = (tmp_path / "ran").read_text()
    assert "late" not in text and "cancelled" not in text and "end last" in text


def test_many_callers_at_once(gateway):
    def run(n):
        with Client(gateway.address) as own:
            calls = [(b"%d-%d" % (n, i), own.begin("echo", b"%d-%d" % (n, i))) for i in range(100)]
            wrong.extend(sent for sent, call in calls if call.result().Output != sent)

    wrong = []
    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == [] and not any(t.is_alive() for t in threads)


def test_handler_info(gateway, client):
    import json

    gateway.deploy("info", config={
        "parameters": {"depth": 3, "name": "가", "list": [1, 2.5, None, True]},
        "environment": ["COLOUR=red", "EMPTY="], "limits": {"memory": "1G"}, "timeout": {"call": "7s"}})
    seen = json.loads(client.invoke("info"))
    assert seen["name"] == "info" and seen["version"] == 1
    assert "7" in seen["timeout"] and str(1 << 30) in seen["limits"]
    assert seen["parameters"] == {"depth": 3, "name": "가", "list": [1, 2.5, None, True]}
    assert seen["environment"]["COLOUR"] == "red" and seen["environment"]["EMPTY"] == ""
    assert not [k for k in seen["environment"] if k.startswith("DCF_")]
    assert seen["path0"] == seen["cwd"]


def test_a_watchers_environment_is_its_own(gateway, client):
    import json
    import os

    gateway.deploy("info", None, "--replace")
    allowed = {"PATH", "HOME", "LANG", "TZ", "HANDLER_DIR", "HANDLER_FILE", "HANDLER_NAME", "LC_CTYPE", "PWD",
               "OMP_NUM_THREADS", "VIRTUAL_ENV", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "SHLVL", "_", "TMPDIR"}
    if gateway.docker:
        allowed.add("HOSTNAME")
    seen = json.loads(client.invoke("info"))["environment"]
    odd = [k for k in seen if k not in allowed and "proxy" not in k.lower() and not k.startswith(("CUDA_", "NVIDIA_"))]
    assert odd == [] and seen["HOME"] == ("/tmp" if gateway.docker else os.environ["HOME"])
