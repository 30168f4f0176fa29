"""The HTTP front on the port of gRPC: /function/NAME and what keeps it usable."""
import ast
import concurrent.futures
import contextlib
import gzip
import json
import os
import re
import socket
import subprocess
import threading
import time
import zlib

import pytest

from support.client import Client
from support.gateway import BIN, Gateway
from support.http1 import Connection, call
from support.processes import memory
from support.waiting import pause, wait_until

EVENTS = {"Accept": "text/event-stream"}

CODED = """
import dcf

def Handler(req):
    raise dcf.Error(req.input.decode(), "no luck")
"""

#: `COUNT SECONDS -` yields so many pieces, with a pause after each; `COUNT SECONDS fails` raises then.
TALKER = """
import time

def Handler(req):
    count, pause, fails = req.input.decode().split(" ")
    for n in range(int(count)):
        yield f"piece {n}\\n"
        time.sleep(float(pause))
    if fails == "fails":
        raise ValueError("midway")
"""


@pytest.fixture(scope="module", autouse=True)
def functions(gateway):
    for name in ("echo", "kinds", "sleeper"):
        gateway.deploy(name)
    gateway.deploy("coded", files={"handler.py": CODED})
    gateway.deploy("talker", files={"handler.py": TALKER})


@pytest.fixture
def port(gateway):
    return gateway.port


# Replies.


def test_the_body_comes_back(port):
    answer = call(port, "/function/echo", b"hello")
    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == "5"
    assert re.fullmatch(r"\d+\.\d{6}", answer.headers["x-duration-seconds"])
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.headers["date"])


@pytest.mark.parametrize("size", [0, 1, 8_191, 8_192, 65_536, 65_537, 1 << 20, 10_000_003])
def test_bodies_of_all_sizes(port, size):
    body = bytes(range(256)) * (size // 256 + 1)
    answer = call(port, "/function/echo", body[:size])
    assert answer.status == 200 and answer.body == body[:size]


@pytest.mark.parametrize("sizes", [[1] * 300, [5, 70_000, 1], [8_192] * 5, [100_000] * 3])
def test_bodies_in_chunks(port, sizes):
    body = [bytes([n % 251]) * size for n, size in enumerate(sizes)]
    with Connection(port) as connection:
        connection.send(connection.head("POST", "/function/echo", {"Transfer-Encoding": "chunked"}))
        for piece in body:
            connection.send(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece))
        connection.send(b"0\r\nTrailer: x\r\n\r\n")
        assert connection.answer().body == b"".join(body)
        assert connection.post("/function/echo", b"again").body == b"again"


def test_one_connection_serves_many_requests(port):
    with Connection(port) as connection:
        for n in range(200):
            assert connection.post("/function/echo", b"%d" % n).body == b"%d" % n


def test_requests_may_be_sent_ahead(port):
    with Connection(port) as connection:
        for n in range(50):
            connection.send(connection.head("POST", "/function/echo", body=b"%02d" % n) + b"%02d" % n)
        assert [connection.answer().body for _ in range(50)] == [b"%02d" % n for n in range(50)]


@pytest.mark.parametrize("body", [b"", b"x" * 10, b"x" * 200_000])
def test_requests_of_all_kinds_in_turn(port, body):
    """Each is answered before the next is begun, also where its answer does not wait for its body."""
    with Connection(port) as connection:
        for path in ("/healthz", "/function/echo", "/nothing", "/function/echo", "/", "/healthz", "/function/ecko") * 3:
            connection.send(connection.head("POST", path, body=body))
            pause(0.005)
            connection.send(body)
            answer = connection.answer()
            assert answer.status == {"/function/echo": 200, "/nothing": 404, "/function/ecko": 404}.get(path, 405)
            if path == "/function/echo":
                assert answer.body == body


def test_kinds_of_requests_may_be_sent_ahead(port):
    paths = ["/healthz", "/function/echo", "/nothing", "/function/echo", "/function/ecko", "/healthz"] * 5
    with Connection(port) as connection:
        for path in paths:
            connection.send(connection.head("GET", path))
        answers = [connection.answer("GET").status for _ in paths]
        assert answers == [{"/nothing": 404, "/function/ecko": 404}.get(path, 200) for path in paths]


@pytest.mark.parametrize("close", ["close", "Close", "TE, close", "close, TE"])
@pytest.mark.parametrize("path", ["/function/echo", "/healthz"])
def test_a_connection_that_is_to_be_closed(port, close, path):
    with Connection(port) as connection:
        assert connection.request("GET", path, None, {"Connection": close}).status == 200
        assert connection.is_closed()


def test_a_whole_url_is_a_target(port):
    with Connection(port) as connection:
        for host in ("localhost", f"127.0.0.1:{port}"):
            assert connection.request("GET", f"http://{host}/function/echo?x=1", b"x").body == b"x"
            assert connection.request("GET", f"http://{host}/healthz").status == 200


def test_text_is_text(port):
    answer = call(port, "/function/kinds", "text é".encode())
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == "é"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"])
def test_any_method(port, method):
    with Connection(port) as connection:
        assert connection.request(method, "/function/echo", b"x").body == b"x"


def test_head_has_no_body(port):
    with Connection(port) as connection:
        answer = connection.request("HEAD", "/function/echo")
        assert (answer.status, answer.headers["content-length"]) == (200, "0")
        connection.send(connection.head("HEAD", "/function/kinds", body=b"big 1000") + b"big 1000")
        assert connection.answer("HEAD").headers["content-length"] == "1000"
        assert connection.post("/function/echo", b"next").body == b"next"


@pytest.mark.parametrize("path", [
    "/function/echo@1", "/function/echo%401", "/function/echo.openfaas-fn", "/function/echo/", "/function/echo/a/b",
    "/function/echo?x=1", "/function/echo/a?x=%20",
])
def test_ways_to_name_it(port, path):
    assert call(port, path, b"x").body == b"x"


def test_http_and_grpc_share_the_port(gateway):
    with Client(gateway.address) as client, Connection(gateway.port) as connection:
        for _ in range(20):
            assert client.invoke("echo", b"g", timeout=10) == "g"
            assert connection.post("/function/echo", b"h").body == b"h"


def test_a_request_id_is_taken_and_given(port):
    answer = call(port, "/function/echo", b"", X_Request_Id="abc-1")
    assert answer.headers["x-request-id"] == answer.headers["x-call-id"] == "abc-1"
    made = call(port, "/function/echo", b"", X_Request_Id="bad id").headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-v]{13}", made)


def test_a_trace_goes_through(port):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert call(port, "/function/echo", b"", traceparent=trace).headers["traceparent"] == trace


# What the handler sees, and says.

SEEING = """
import dcf

class Handler:
    def __call__(self, req):
        if req.input:
            return repr(eval(req.input))
        req.set_metadata("content-type", "image/png")
        req.set_metadata("x-model", "resnet-50")
        req.set_metadata("content-length", "9999")
        req.set_status(418, "I'm a teapot")
        return b"png"
"""


@pytest.fixture
def see(gateway):
    """The value of an expression in the handler."""
    if "seeing" not in gateway.deployed:
        gateway.deploy("seeing", files={"handler.py": SEEING})

    def see(text, path="/function/seeing", **headers):
        answer = call(gateway.port, path, text.encode(), **headers)
        assert answer.status == 200, answer
        return ast.literal_eval(answer.text)

    return see


def test_a_handler_sees_the_request(see):
    path = "/function/seeing/a/%C3%A9?x=1&y=%20"
    assert see("(req.http.method, req.http.path, req.http.query)", path) == ("POST", "/a/%C3%A9", "x=1&y=%20")
    assert see("repr(req.http)", path) == "<Http POST /a/%C3%A9?x=1&y=%20>"
    assert see("(req.http.path, req.http.query)") == ("/", "")
    assert see("req.http.headers['x-custom']", X_Custom="yes") == "yes"
    assert see("req.content_type", Content_Type="application/json") == "application/json"
    assert see("req.content_type") is None


def test_a_handler_sees_no_credentials_and_no_hop(see):
    names = see("sorted(req.metadata)", Authorization="Bearer x", Cookie="a=b", Connection="keep-alive", TE="trailers",
                Keep_Alive="1", Proxy_Authorization="x", Upgrade="h2c", X_Own="1")
    assert names == ["content-length", "host", "traceparent", "x-own"]
    assert see("req.http.headers == req.metadata") is True


def test_over_grpc_there_is_no_http(see, gateway):
    with Client(gateway.address) as client:
        assert client.invoke("seeing", b"(req.http, req.content_type)", timeout=10) == "(None, None)"
        # What is HTTP's own goes to no caller of gRPC.
        assert client.invoke("seeing", b"", timeout=10) == "png"


def test_a_handler_chooses_the_status(see, gateway):
    answer = call(gateway.port, "/function/seeing", b"")
    assert (answer.status, answer.reason, answer.body) == (418, "I'm a teapot", b"png")
    assert answer.headers["content-type"] == "image/png" and answer.headers["x-model"] == "resnet-50"
    assert answer.headers["content-length"] == "3" and ":status" not in answer.headers


@pytest.mark.parametrize("arguments, words", [
    ("100", "200 to 599"), ("600", "200 to 599"), ("'200'", "TypeError"), ("200, 'a\\nb'", "printable"), ("", "takes"),
    ("200, 'x' * 101", "at most 100"), ("204, 5", "str is needed"),
])
def test_a_status_that_is_none(see, gateway, arguments, words):
    answer = call(gateway.port, "/function/seeing", f"req.set_status({arguments})".encode())
    assert answer.status == 500 and words in answer.text


@pytest.mark.parametrize("headers", [{}, EVENTS], ids=["plain", "events"])
@pytest.mark.parametrize("status", [204, 205, 304])
def test_statuses_without_content(gateway, status, headers):
    gateway.deploy("bare", None, "--replace", files={
        "handler.py": f"def Handler(req):\n    req.set_status({status})\n    return 'x'\n"})
    with Connection(gateway.port) as connection:
        for _ in range(2):
            answer = connection.request("POST", "/function/bare", b"", headers)
            assert (answer.status, answer.body) == (status, b"")
        assert connection.post("/function/echo", b"next").body == b"next"


# Failures.


@pytest.mark.parametrize("path, status", [
    ("/function/ecko", 404), ("/function/echo@9", 404), ("/function/echo@x", 400), ("/function/Echo.other-ns", 404),
    ("/nothing", 404), ("/function/", 404), ("/function", 404), ("/function/%zz", 404),
])
def test_what_is_not_there(port, path, status):
    answer = call(port, path, b"x")
    assert answer.status == status and answer.text.strip()
    assert answer.headers["content-type"].startswith("text/plain")


def test_an_unknown_function_is_named(port):
    answer = call(port, "/function/ecko", b"x")
    assert answer.text == 'function "ecko" is not deployed; did you mean "echo"?\n'
    assert answer.headers["dcf-executed"] == "no" and "x-should-retry" not in answer.headers


def test_a_handler_that_raises(port):
    answer = call(port, "/function/kinds", b"error oh no")
    assert answer.status == 500 and answer.text.startswith("ValueError: oh no (handler.py:")
    assert answer.headers["dcf-executed"] == "yes" and answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("code, status", [
    ("INVALID_ARGUMENT", 400), ("OUT_OF_RANGE", 400), ("UNAUTHENTICATED", 401), ("PERMISSION_DENIED", 403),
    ("NOT_FOUND", 404), ("ALREADY_EXISTS", 409), ("ABORTED", 409), ("RESOURCE_EXHAUSTED", 429), ("UNIMPLEMENTED", 501),
    ("UNAVAILABLE", 503), ("DEADLINE_EXCEEDED", 504), ("FAILED_PRECONDITION", 500), ("DATA_LOSS", 500),
    ("INTERNAL", 500), ("UNKNOWN", 500),
])
def test_codes_are_statuses(gateway, code, status):
    answer = call(gateway.port, "/function/coded", code.encode())
    assert answer.status == status and "no luck" in answer.text
    assert answer.headers["x-should-retry"] == "false"


def test_a_deadline(gateway):
    begun = time.monotonic()
    answer = call(gateway.port, "/function/sleeper", b"30", X_Timeout="200ms")
    assert answer.status == 504 and time.monotonic() - begun < 5
    assert call(gateway.port, "/function/echo", b"x", X_Timeout="5s").status == 200
    for bad in ("5", "-1s", "0s", "soon", "1e3s"):
        answer = call(gateway.port, "/function/echo", b"x", X_Timeout=bad)
        assert answer.status == 400 and "X-Timeout" in answer.text, bad


def test_a_full_queue(gateway, calls):
    """One call runs. Of two more, one waits and the other is refused."""
    gateway.deploy("held", config={**calls.config(), "queue": 1})
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        first = pool.submit(call, gateway.port, "/function/held", b"1")
        running = calls.next()
        others = [pool.submit(call, gateway.port, "/function/held", b"2") for _ in range(2)]
        done, waiting = concurrent.futures.wait(others, 20, concurrent.futures.FIRST_COMPLETED)
        answer = done.pop().result()
        assert answer.status == 429 and answer.headers["retry-after"] == "1"
        assert answer.headers["dcf-executed"] == "no" and "x-should-retry" not in answer.headers
        running.returns(b"one")
        assert first.result().body == b"one"
        calls.next().returns(b"two")
        assert waiting.pop().result().body == b"two"


# The connection.


def test_a_slow_reader_gets_the_whole_reply(port):
    """The connection closes after it, and only then."""
    with Connection(port) as connection:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.send(connection.head("POST", "/function/kinds", {"Connection": "close"}, b"big 20000000")
                        + b"big 20000000")
        pause(0.5)
        answer = connection.answer()
        assert answer.whole and len(answer.body) == 20_000_000
        assert answer.headers["connection"] == "close" and connection.is_closed()


def test_who_does_not_read_gets_no_more(gateway):
    before = memory(gateway.pid)
    request = b"GET /function/nobody HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000
    with Connection(gateway.port, timeout=3) as connection:
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 200 << 20:
                connection.send(request)
                sent += len(request)
        assert sent < 200 << 20
        assert memory(gateway.pid) - before < 30 << 20
    assert call(gateway.port, "/function/echo", b"x").body == b"x"


def test_many_that_have_spoken_are_all_answered(port):
    connections = []
    try:
        for _ in range(600):
            connections.append(Connection(port))
            connections[-1].send(connections[-1].head("GET", "/healthz"))
        assert [connection.answer("GET").status for connection in connections] == [200] * 600
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("more", [b"\r\n", b"POST /function/echo HT"])
def test_what_follows_a_call_does_not_end_it(tmp_path_factory, more):
    with Gateway(tmp_path_factory.mktemp("gateway"), "--limit", "http-head-timeout=500ms") as own:
        own.deploy("sleeper")
        with Connection(own.port) as connection:
            connection.send(connection.head("POST", "/function/sleeper", body=b"2") + b"2")
            pause(0.1)
            connection.send(more)
            assert connection.answer().text == "awake"


def test_responses_without_content_have_none(port):
    for method, path, body, headers in [
        ("HEAD", "/function/talker", b"3 0 -", {}), ("HEAD", "/function/talker", b"3 0 -", EVENTS),
        ("HEAD", "/function/kinds", b"text x", EVENTS),
    ]:
        with Connection(port) as connection:
            connection.send(connection.head(method, path, headers, body) + body)
            assert connection.answer("HEAD").status == 200
            assert connection.post("/function/echo", b"next").body == b"next"


@pytest.mark.parametrize("path", ["/function/echo", "/healthz"])
def test_what_comes_after_the_last_request_is_ignored(port, path):
    with Connection(port) as connection:
        connection.send(connection.head("GET", path, {"Connection": "close"}) + connection.head("GET", path))
        answer = connection.answer("GET")
        assert answer.status == 200 and answer.headers["connection"] == "close"
        assert connection.is_closed()


@pytest.mark.parametrize("headers", [{}, {"Connection": "keep-alive"}])
def test_clients_of_http_1_0(port, headers):
    with Connection(port) as connection:
        body = b"3 0 -"
        connection.send(connection.head("POST", "/function/talker", {**headers, "Expect": "100-continue"}, body)
                        .replace(b"HTTP/1.1", b"HTTP/1.0") + body)
        status, _, got = connection.begin()
        assert status == 200 and "transfer-encoding" not in got
        assert connection.file.read() == b"piece 0\npiece 1\npiece 2\n"
    with Connection(port) as connection:
        for _ in range(2):
            connection.send(connection.head("POST", "/function/echo", headers, b"x").replace(b"1.1", b"1.0", 1) + b"x")
            assert connection.answer().body == b"x"
            if not headers:
                assert connection.is_closed()
                break


@pytest.mark.parametrize("method, headers", [
    ("POST", {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"}),
    ("GET", {"Connection": "Upgrade", "Upgrade": "websocket"}),
])
def test_an_upgrade_is_not_made(port, method, headers):
    with Connection(port) as connection:
        answer = connection.request(method, "/function/echo", b"x", headers)
        assert answer.status == 200 and answer.headers["connection"] == "close"
        assert connection.is_closed()


@pytest.mark.parametrize("lines, status", [
    ("Host: localhost\r\nHost: evil.example", 400), ("Host: localhost\r\nHost: localhost", 400),
    ("Host: [::1]evil.example", 403), ("Host: localhost:evil", 403), ("Host: localhost:", 200),
    ("Host: localhost\r\nTransfer-Encoding: gzip, chunked", 501),
    ("Host: localhost\r\nContent-Length: 9223372036854775808", 413),
    ("Host: localhost\r\nContent-Length: 18446744073709551615", 413),
])
def test_heads_that_break_a_rule(port, lines, status):
    with Connection(port) as connection:
        connection.send(f"POST /function/echo HTTP/1.1\r\n{lines}\r\n\r\n".encode())
        assert connection.answer().status == status


def test_the_host_of_the_target_counts(port):
    with Connection(port) as connection:
        assert connection.request("GET", "http://evil.example/function/echo").status == 403


# Streams.


def test_pieces_are_chunks(gateway, calls):
    """Each is sent when it is made, before there is another."""
    gateway.deploy("held", None, "--replace", config=calls.config("Stream"))
    with Connection(gateway.port) as connection:
        connection.send(connection.head("POST", "/function/held", body=b"x") + b"x")
        running = calls.next()
        running.yields("piece 0")
        status, _, headers = connection.begin()
        assert (status, headers["transfer-encoding"]) == (200, "chunked")
        assert headers["content-type"] == "text/plain; charset=utf-8" and "content-length" not in headers
        assert connection.chunk() == b"piece 0"
        running.yields("piece 1")
        assert connection.chunk() == b"piece 1"
        running.returns(None)
        assert connection.chunk() == b""
        assert connection.post("/function/echo", b"next").body == b"next"


def test_pieces_are_events(gateway):
    answer = call(gateway.port, "/function/talker", b"2 0 -", **EVENTS)
    assert answer.headers["content-type"] == "text/event-stream" and answer.headers["cache-control"] == "no-cache"
    assert answer.text == "data: piece 0\ndata: \n\ndata: piece 1\ndata: \n\n" and answer.whole


def test_a_failure_before_the_first_piece_is_a_status(gateway):
    for headers in ({}, EVENTS):
        answer = call(gateway.port, "/function/talker", b"0 0 fails", **headers)
        assert answer.status == 500 and answer.text.startswith("ValueError: midway")


def test_a_failure_midway(gateway):
    answer = call(gateway.port, "/function/talker", b"2 0 fails")
    assert answer.body == b"piece 0\npiece 1\n" and not answer.whole
    answer = call(gateway.port, "/function/talker", b"1 0 fails", **EVENTS)
    assert answer.whole
    kind, data = answer.text.split("\n\n")[1].split("\n")
    assert kind == "event: error"
    error = json.loads(data.removeprefix("data: "))
    assert (error["code"], error["executed"]) == ("UNKNOWN", "yes")
    assert error["message"].startswith("ValueError: midway")


def test_no_pieces_at_all(gateway):
    answer = call(gateway.port, "/function/talker", b"0 0 -")
    assert (answer.status, answer.body, answer.whole) == (200, b"", True)
    assert call(gateway.port, "/function/talker", b"0 0 -", **EVENTS).body == b""


def test_a_whole_reply_as_an_event(port):
    assert call(port, "/function/kinds", b"text a\nb", **EVENTS).text == "data: a\ndata: b\n\n"
    answer = call(port, "/function/kinds", b"binary", **EVENTS)
    assert "event: error" in answer.text and "UTF-8" in answer.text


def test_a_slow_reader_slows_the_handler(gateway, tmp_path):
    progress = tmp_path / "progress"
    progress.write_bytes(bytes(16))
    progress.chmod(0o666)
    gateway.deploy("stream", "pieces", config={"parameters": {"progress": str(progress)}})
    made = lambda: int.from_bytes(progress.read_bytes()[:8], "little")  # noqa: E731
    with Connection(gateway.port) as connection:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        connection.send(connection.head("POST", "/function/stream", body=b"100000 1024") + b"100000 1024")
        connection.begin()
        wait_until(lambda: made() > 10, 10, "it yields")
        last = -1
        while last != (last := made()):
            pause(1)
        assert made() < 20_000
    wait_until(lambda: progress.read_bytes()[8:] != bytes(8), 10, "the generator is closed when the caller leaves")


# Callers that leave.


def test_a_caller_that_leaves_cancels(gateway, calls):
    gateway.deploy("held", None, "--replace", config=calls.config())
    for how in (socket.SHUT_RDWR, socket.SHUT_WR):
        connection = Connection(gateway.port)
        connection.send(connection.head("POST", "/function/held", body=b"wait") + b"wait")
        running = calls.next()
        assert running.eval("req.cancelled") is False
        connection.sock.shutdown(how)
        running.becomes("req.cancelled", True)
        running.returns(b"late")
        connection.close()


def test_a_caller_that_leaves_in_its_body_is_not_called(gateway, calls):
    gateway.deploy("held", None, "--replace", config=calls.config())
    for headers, data in [({"Content-Length": "100"}, b"half"), ({"Transfer-Encoding": "chunked"}, b"4\r\nhalf\r\n")]:
        with Connection(gateway.port) as connection:
            connection.send(connection.head("POST", "/function/held", headers) + data)
            pause(0.2)
    calls.nothing()


# Bodies.


@pytest.mark.parametrize("coding, pack", [("gzip", gzip.compress), ("deflate", zlib.compress), ("GZIP", gzip.compress)])
def test_packed_bodies(port, coding, pack):
    body = b"hello " * 100_000
    assert call(port, "/function/echo", pack(body), Content_Encoding=coding).body == body


def test_packed_bodies_that_are_not(port):
    assert call(port, "/function/echo", b"plain", Content_Encoding="gzip").status == 400
    assert call(port, "/function/echo", gzip.compress(b"x" * 1000)[:-4], Content_Encoding="gzip").status == 400
    assert call(port, "/function/echo", b"x", Content_Encoding="br").status == 415
    assert call(port, "/function/echo", b"x", Content_Encoding="identity").body == b"x"


@pytest.mark.parametrize("pack, coding", [(gzip.compress, "gzip"), (zlib.compress, "deflate")])
def test_a_bomb_is_refused_unpacked(gateway, pack, coding):
    before = memory(gateway.pid)
    bomb = pack(bytes(300 << 20))
    answer = call(gateway.port, "/function/echo", bomb, Content_Encoding=coding)
    assert answer.status == 413 and "(message)" in answer.text
    assert memory(gateway.pid) - before < 200 << 20


def test_replies_are_packed_for_those_who_ask(port, gateway):
    body = b"hello " * 10_000
    answer = call(port, "/function/echo", body, Accept_Encoding="gzip, deflate")
    assert answer.headers["content-encoding"] == "gzip" and answer.headers["vary"] == "Accept-Encoding"
    assert len(answer.body) < 1000 and gzip.decompress(answer.body) == body
    for asked, sent in [("gzip;q=0", body), ("br", body), ("gzip", body[:1023]), ("gzip", os.urandom(5000))]:
        answer = call(port, "/function/echo", sent, Accept_Encoding=asked)
        assert "content-encoding" not in answer.headers and answer.body == sent
    answer = call(port, "/function/talker", b"200 0 -", Accept_Encoding="gzip")
    assert "content-encoding" not in answer.headers and answer.headers["transfer-encoding"] == "chunked"
    big = bytes(30_000_000)
    answer = call(port, "/function/echo", big, Accept_Encoding="gzip")
    assert gzip.decompress(answer.body) == big
    with Connection(port) as connection:
        for n in range(20):
            sent = b"%d " % n * 1000
            assert gzip.decompress(connection.post("/function/echo", sent, Accept_Encoding="gzip").body) == sent


def test_too_much_is_refused_before_it_comes(port):
    with Connection(port) as connection:
        connection.send(connection.head("POST", "/function/echo", {"Content-Length": str(1 << 40)}) + b"x" * 1000)
        answer = connection.answer()
        assert answer.status == 413 and "(message)" in answer.text and answer.headers["connection"] == "close"
        assert connection.is_closed()


def test_too_much_in_chunks_is_refused(port):
    with Connection(port) as connection:
        connection.send(connection.head("POST", "/function/echo", {"Transfer-Encoding": "chunked"}))
        piece = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
        try:
            for _ in range(70):
                connection.send(piece)
        except OSError:
            pass
        assert connection.answer().status == 413


def test_a_client_that_asks_first(port):
    with Connection(port) as connection:
        connection.send(connection.head("POST", "/function/echo", {"Expect": "100-continue", "Content-Length": "5"}))
        status, reason, _ = connection.begin()
        assert (status, reason) == (100, "Continue")
        connection.send(b"hello")
        assert connection.answer().body == b"hello"
        connection.send(connection.head("POST", "/function/echo", {"Expect": "100-continue",
                                                                   "Content-Length": str(1 << 40)}))
        assert connection.answer().status == 413
    with Connection(port) as connection:
        connection.send(connection.head("POST", "/function/echo", {"Expect": "more", "Content-Length": "5"}))
        assert connection.answer().status == 417


def test_curl(port):
    """It sends `Expect` and says urlencoded, whatever the body is."""
    body = bytes(3 << 20)
    found = subprocess.run(["curl", "-sS", "--data-binary", "@-", "-H", "Expect: 100-continue",
                            f"http://127.0.0.1:{port}/function/echo"], input=body, capture_output=True, timeout=60)
    assert found.stdout == body, found.stderr


# What is not HTTP, or too much of it.


GET = b"GET /function/echo HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /function/echo HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("data, status", [
    (b"GET /function/echo HTTP/1.1\r\n\r\n", 400),
    (GET + b"X: " + b"x" * 70_000 + b"\r\n\r\n", 431),
    (GET + b"".join(b"X%d: 1\r\n" % n for n in range(400)) + b"\r\n", 431),
    (GET + b"X: " + b"x" * 9_000 + b"\r\n\r\n", 431),
    (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
    (b"NONSENSE\r\n\r\n", 400),
    (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
    (GET + b"bad header\r\n\r\n", 400),
    (GET + b"X: a\x00b\r\n\r\n", 400),
    (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400),
    (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: gzip, chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Content-Length: -5\r\n\r\nhello", 400),
    (POST + b"Content-Length: 99999999999999999999\r\n\r\nhello", 400),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n", 400),
])
def test_what_is_no_request(port, data, status):
    with Connection(port) as connection:
        connection.send(data)
        answer = connection.answer()
        assert answer.status == status and answer.text.strip(), answer
        # What was understood leaves the connection as it was.
        assert "connection" not in answer.headers or connection.is_closed()
    assert call(port, "/function/echo", b"x").body == b"x"


def test_no_second_request_is_smuggled(port):
    with Connection(port) as connection:
        connection.send(b"POST /function/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
                        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.answer().status == 400
        assert connection.is_closed()


def test_time_limits(tmp_path_factory):
    limits = ["http-head-timeout=500ms", "http-body-timeout=1s", "http-idle=4s"]
    flags = [flag for limit in limits for flag in ("--limit", limit)]
    with Gateway(tmp_path_factory.mktemp("gateway"), *flags) as own:
        own.deploy("echo")
        head = b"GET /function/echo HTTP/1.1\r\n"
        with Connection(own.port) as connection:
            connection.send(head)
            answer = connection.answer()
            assert answer.status == 408 and "http-head-timeout" in answer.text and connection.is_closed()
        with Connection(own.port) as connection:
            connection.send(connection.head("POST", "/function/echo", {"Content-Length": "50"}))
            answer = drip(connection, b"x" * 50, 0.1)
            assert answer.status == 408 and "http-body-timeout" in answer.text and connection.is_closed()
        with Connection(own.port) as connection:
            assert connection.post("/function/echo", b"x").body == b"x"
            begun = time.monotonic()
            assert connection.is_closed(15) and time.monotonic() - begun > 3
        with Connection(own.port) as connection:
            for _ in range(4):
                assert connection.post("/function/echo", b"x").body == b"x"
                pause(1.2)


def drip(connection, data, seconds):
    """Sends a byte at a time, and reads the answer, which may come before the last."""
    def send():
        for byte in data:
            try:
                connection.send(bytes([byte]))
            except OSError:
                return
            pause(seconds)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        return connection.answer()
    finally:
        thread.join()


# Browsers.


@pytest.mark.parametrize("headers, status", [
    ({"Host": "evil.example"}, 403), ({"Host": "127.0.0.1.evil.example"}, 403), ({"Host": "localhost"}, 200),
    ({"Host": "[::1]:80"}, 200), ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403),
    ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200), ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-site"}, 403), ({"Sec-Fetch-Site": "same-origin"}, 200), ({"Sec-Fetch-Site": "none"}, 200),
])
@pytest.mark.parametrize("path", ["/function/echo", "/healthz"])
def test_pages_of_others_are_kept_out(port, headers, status, path):
    with Connection(port) as connection:
        answer = connection.request("GET", path, None, headers)
        assert answer.status == status
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_it_is_refused_before_its_body_is_read(port):
    with Connection(port) as connection:
        connection.send(connection.head(
            "POST", "/function/echo", {"Origin": "http://evil.example", "Content-Length": "1000000"}))
        assert connection.answer().status == 403
        assert connection.is_closed()


def test_names_and_pages_that_are_allowed(tmp_path_factory):
    with Gateway(tmp_path_factory.mktemp("gateway"), "--http-host", "models.example.org", "--http-origin",
                 "https://app.example.org", "--http", "127.0.0.1:0") as own:
        own.deploy("echo")
        ports = [int(found) for found in re.findall(r"listening on http://127\.0\.0\.1:(\d+)", own.text())]
        assert len(ports) == 2 and own.port in ports
        for each in ports:
            assert call(each, "/function/echo", b"x", Host="models.example.org:8080").status == 200
            page = {"Origin": "https://app.example.org", "Sec-Fetch-Site": "cross-site"}
            with Connection(each) as connection:
                answer = connection.request("POST", "/function/echo", b"x", page)
                assert answer.status == 200
                assert answer.headers["access-control-allow-origin"] == "https://app.example.org"
                assert answer.headers["vary"] == "Origin"
                answer = connection.request("OPTIONS", "/function/echo", None, {
                    **page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-timeout"})
                assert answer.status == 204 and answer.headers["access-control-allow-headers"] == "x-timeout"


# Listeners.


def test_a_listener_of_its_own_speaks_http2(tmp_path_factory):
    with Gateway(tmp_path_factory.mktemp("gateway"), "--http", "127.0.0.1:0") as own:
        own.deploy("echo")
        other = next(int(found) for found in re.findall(r"listening on http://127\.0\.0\.1:(\d+)", own.text())
                     if int(found) != own.port)
        for version in ("--http1.1", "--http2-prior-knowledge"):
            found = subprocess.run(
                ["curl", "-sS", version, "-w", " %{http_version} %{http_code}", "-d", "hello",
                 f"http://127.0.0.1:{other}/function/echo"], capture_output=True, text=True, timeout=60)
            assert found.stdout in ("hello 1.1 200", "hello 2 200"), found
        body = bytes(range(256)) * 20_000
        found = subprocess.run(
            ["curl", "-sS", "--http2-prior-knowledge", "--data-binary", "@-", f"http://127.0.0.1:{other}/function/echo"],
            input=body, capture_output=True, timeout=60)
        assert found.stdout == body, found.stderr
        found = subprocess.run(
            ["curl", "-sS", "--http2-prior-knowledge", "-w", "%{http_code}", "-H", "Host: evil.example", "-d", "hello",
             f"http://127.0.0.1:{other}/function/echo"], capture_output=True, text=True, timeout=60)
        assert found.stdout.endswith("403")


def test_accepted_calls_over_http2_are_finished(tmp_path_factory):
    with Gateway(tmp_path_factory.mktemp("gateway"), "--http", "127.0.0.1:0") as own:
        own.deploy("talker", files={"handler.py": TALKER})
        other = next(int(found) for found in re.findall(r"listening on http://127\.0\.0\.1:(\d+)", own.text())
                     if int(found) != own.port)
        command = ["curl", "-sS", "-N", "--http2-prior-knowledge", "-d", "5 0.3 -",
                   f"http://127.0.0.1:{other}/function/talker"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
            assert client.stdout.readline() == b"piece 0\n"
            own.process.terminate()
            said, errors = client.communicate(timeout=20)
        assert said == b"".join(b"piece %d\n" % n for n in range(1, 5)), errors
        assert client.returncode == 0 and own.process.wait(20) == 0


def test_off_is_off(tmp_path_factory):
    with Gateway(tmp_path_factory.mktemp("gateway"), "--http", "off") as own:
        assert "http://" not in own.text()
        with Connection(own.port) as connection:
            connection.send(connection.head("GET", "/healthz"))
            assert connection.is_closed()


@pytest.mark.parametrize("flags, words", [
    (["--http", "0.0.0.0:0"], "--allow-plaintext"), (["--http", "off", "--http", "127.0.0.1:0"], "exclude each other"),
    (["--http", "nonsense"], "HOST:PORT"), (["--http-origin", "app.example.org"], "https://app.example.org"),
])
def test_flags_that_are_wrong(tmp_path, flags, words):
    found = subprocess.run([BIN / "dcf-gateway", "--listen", "127.0.0.1:0", "--data-dir", tmp_path, *flags],
                           capture_output=True, text=True, timeout=30)
    assert found.returncode != 0 and words in found.stderr


# The gateway's own life.


def test_health(tmp_path_factory):
    lame_duck = "--limit", "lame-duck=2s"
    with Gateway(tmp_path_factory.mktemp("gateway"), *lame_duck) as own, Connection(own.port) as connection:
        assert connection.get("/healthz").status == 200
        assert connection.get("/").json() == {"status": "alive"}
        assert connection.request("HEAD", "/healthz").status == 200
        answer = connection.request("DELETE", "/healthz")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        own.process.terminate()
        wait_until(lambda: "NOT_SERVING" in own.text(), 10, "it is a lame duck")
        assert connection.get("/healthz").status == 503


def test_a_call_under_way_is_finished(tmp_path_factory):
    with Gateway(tmp_path_factory.mktemp("gateway")) as own:
        own.deploy("sleeper")
        with Connection(own.port) as connection, Connection(own.port) as idle:
            assert idle.get("/healthz").status == 200
            connection.send(connection.head("POST", "/function/sleeper", body=b"1") + b"1")
            pause(0.3)
            own.process.terminate()
            assert connection.answer().status == 200
            assert connection.is_closed() and idle.is_closed()
        assert own.process.wait(20) == 0


def test_many_at_once(gateway):
    def work(number):
        with Connection(gateway.port) as connection:
            for n in range(50):
                body = b"%d-%d" % (number, n) * (n * 37 % 500 + 1)
                assert connection.post("/function/echo", body).body == body

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        list(pool.map(work, range(32)))


def test_idle_connections_leave_room(gateway):
    held = []
    try:
        for _ in range(1000):
            held.append(Connection(gateway.port))
            assert held[-1].get("/healthz").status == 200
        assert call(gateway.port, "/function/echo", b"x").body == b"x"
    finally:
        for connection in held:
            connection.close()
