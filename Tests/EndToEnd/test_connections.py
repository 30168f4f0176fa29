"""What comes in on the gRPC port and on the link's socket that is no call."""
import contextlib
import os
import socket
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import FULL, raw_http2
from support.client import Client, refused
from support.elsewhere import elsewhere
from support.processes import descriptors
from support.waiting import pause, wait_until


@pytest.fixture(scope="module", autouse=True)
def functions(gateway):
    gateway.deploy("echo")


def works(gateway):
    with Client(gateway.address) as own:
        assert own.invoke("echo", b"x", timeout=10) == "x"


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 50,
     b"\x00" * 24, os.urandom(1000), raw_http2.PREFACE[:-1] + b"X", b"SSH-2.0-client\r\n" + b"x" * 20],
    ids=["http9", "tls", "zeros", "random", "almost", "ssh"])
def test_what_is_not_http_is_closed(gateway, data):
    with socket.create_connection(("127.0.0.1", gateway.port), 5) as sock:
        sock.sendall(data)
        assert raw_http2.closed_by_peer(sock, 15)
    works(gateway)


@settings(max_examples=300 if FULL else 60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300))
def test_random_bytes_after_the_preface(shared_gateway, data):
    with socket.create_connection(("127.0.0.1", shared_gateway.port), 5) as sock, contextlib.suppress(OSError):
        sock.sendall(raw_http2.PREFACE + data)
    assert shared_gateway.process.poll() is None


@settings(max_examples=300 if FULL else 60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300), st.integers(0, 2))
def test_random_bytes_as_a_message(shared_gateway, data, which):
    path = ["/pb.Gateway/Invoke", "/pb.Gateway/Invokes", "/pb.Gateway/Upload"][which]
    with raw_http2.connect(shared_gateway.port) as sock:
        body = b"\0" + struct.pack(">I", len(data)) + data
        sock.sendall(raw_http2.headers(1, path) + raw_http2.frame(raw_http2.DATA, raw_http2.END_STREAM, 1, body))
        sock.settimeout(5)
        assert sock.recv(9)
    assert shared_gateway.process.poll() is None


def test_the_gateway_still_works_after_all_that(gateway):
    works(gateway)


@pytest.mark.fault("D2")
def test_silent_and_half_open_connections_are_closed(own_gateway):
    gateway = own_gateway("--limit", "preface-timeout=1s")
    gateway.deploy("echo")
    gateway.client.invoke("echo", b"x")
    before = len(descriptors(gateway.pid))
    silent = [socket.create_connection(("127.0.0.1", gateway.port), 5) for _ in range(100)]
    half = [socket.create_connection(("127.0.0.1", gateway.port), 5) for _ in range(50)]
    for sock in half:
        sock.sendall(raw_http2.PREFACE[:10])
    slow = socket.create_connection(("127.0.0.1", gateway.port), 5)
    works(gateway)
    for byte in raw_http2.PREFACE[:20]:  # One byte now and then does not make it new again.
        try:
            slow.sendall(bytes([byte]))
        except OSError:
            break
        pause(0.1)
    for sock in [*silent, *half, slow]:
        assert raw_http2.closed_by_peer(sock, 10)
        sock.close()
    wait_until(lambda: len(descriptors(gateway.pid)) <= before + 1, 10, "their descriptors closed")
    gateway.stop()


def test_an_address_has_so_many_connections(own_gateway):
    with elsewhere("10.99.0.1") as there:
        gateway = there(lambda: own_gateway(
            "--listen", "10.99.0.1:0", "--allow-plaintext", "--limit", "connections-per-address=3"))
        connect = lambda: there(lambda: raw_http2.connect(gateway.port, host="10.99.0.1"))  # noqa: E731
        open_ones = [connect() for _ in range(3)]
        assert all(len(sock.recv(9)) == 9 for sock in open_ones)
        refused_one = there(lambda: socket.create_connection(("10.99.0.1", gateway.port), 5))
        assert raw_http2.closed_by_peer(refused_one, 5)
        wait_until(lambda: "its address has 3 (connections-per-address)" in gateway.text(), 5, "the limit is named")
        open_ones.pop().close()

        def comes_in():
            try:
                with connect() as sock:
                    sock.settimeout(1)
                    return len(sock.recv(9)) == 9
            except OSError:
                return False

        wait_until(comes_in, 5, "room for one more")
        for sock in [*open_ones, refused_one]:
            sock.close()
        there(gateway.stop)


@pytest.mark.fault("D2")
def test_more_silent_connections_than_are_waited_for(gateway):
    silent = [socket.create_connection(("127.0.0.1", gateway.port), 5) for _ in range(400)]
    try:
        works(gateway)
    finally:
        for sock in silent:
            sock.close()


def link(gateway):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(gateway.data / "run/link.sock"))
    return sock


HELLO_HEAD = struct.pack("<HHI", 1, 1, os.getpid())


def string(text):
    return struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 64,
        os.urandom(4096),
        b"\x00" * 16,
        # A Hello with a token that nobody gave out.
        struct.pack("<IBBHQ", 8 + 2 + 9 + 2 + 4, 1, 0, 8 + 2 + 9 + 2 + 4, 0) + HELLO_HEAD
        + string(b"no-token!") + string(b"3.11"),
        # A Hello whose head is cut short.
        struct.pack("<IBBHQ", 4, 1, 0, 4, 0) + b"\x01\x00\x01\x00",
        # A body of 4 GiB.
        struct.pack("<IBBHQ", 0xFFFFFFFF, 1, 0, 8, 0) + HELLO_HEAD,
        # A head that is longer than the body.
        struct.pack("<IBBHQ", 8, 1, 0, 60000, 0) + HELLO_HEAD,
        # A Ready before any Hello.
        struct.pack("<IBBHQ", 8, 3, 0, 8, 0) + struct.pack("<Q", 5),
        # A kind that does not exist and is not optional.
        struct.pack("<IBBHQ", 0, 200, 0, 0, 0),
    ],
    ids=["ones", "random", "zeros", "bad token", "short head", "huge", "head over body", "ready first", "unknown kind"])
def test_garbage_on_the_links_socket_is_closed_and_harms_nobody(gateway, client, data):
    with link(gateway) as sock:
        sock.sendall(data)
        assert raw_http2.closed_by_peer(sock, 15)
    assert client.invoke("echo", b"x") == "x"
    assert client.meta("echo").Status == "Ready" and client.meta("echo").Instances[0].Restarts == 0


def test_the_links_socket_is_for_this_user_alone(gateway):
    assert (gateway.data / "run").stat().st_mode & 0o077 == 0 or gateway.data.stat().st_mode & 0o077 == 0


def test_silent_peers_on_the_links_socket(gateway, client):
    before = len(descriptors(gateway.pid))
    peers = [link(gateway) for _ in range(50)]
    assert client.invoke("echo", b"x") == "x"
    gateway.deploy("later", "echo")
    assert client.invoke("later", b"x") == "x"
    for peer in peers:
        peer.close()
    wait_until(lambda: len(descriptors(gateway.pid)) <= before + 5, 10)


@pytest.mark.fault("D2")
def test_a_message_that_says_it_is_larger_than_it_may_be(gateway):
    for _ in range(100):
        with raw_http2.connect(gateway.port) as sock:
            sock.sendall(raw_http2.headers(1, "/pb.Gateway/Invoke")
                         + raw_http2.frame(raw_http2.DATA, 0, 1, b"\0" + struct.pack(">I", 1 << 30) + b"x" * 1000))
            sock.settimeout(5)
            assert sock.recv(9)
    works(gateway)


def test_a_client_that_never_ends_its_requests(gateway):
    """The reply ends the call in both directions, so that more of them than may be open at a time hold nothing."""
    with raw_http2.connect(gateway.port) as sock:
        for stream in range(1, 2_000, 2):
            sock.sendall(raw_http2.headers(stream, "/pb.Gateway/InvokeBytes") + raw_http2.frame(
                raw_http2.DATA, 0, stream, raw_http2.message("echo", b"x")))
            kind, flags, of = None, 0, 0
            while of != stream or kind != raw_http2.RST_STREAM:
                kind, flags, of, payload = raw_http2.read_frame(sock)
                if kind == raw_http2.SETTINGS and not flags:
                    sock.sendall(raw_http2.frame(raw_http2.SETTINGS, raw_http2.ACK, 0))
            assert payload == bytes(4), "not NO_ERROR"
    works(gateway)


def test_a_call_of_a_client_that_vanishes(gateway, client):
    gateway.deploy("sleeper")
    for _ in range(20):
        with raw_http2.connect(gateway.port) as sock:
            message = b"\x0a\x07sleeper\x12\x030.1"
            sock.sendall(raw_http2.headers(1, "/pb.Gateway/Invoke") + raw_http2.frame(
                raw_http2.DATA, raw_http2.END_STREAM, 1, b"\0" + struct.pack(">I", len(message)) + message))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: client.invoke("sleeper", b"0", timeout=30) == "awake", 30)
    assert refused(client.invoke, "nobody").name == "NOT_FOUND"
