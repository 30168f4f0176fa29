"""Memory has a bound, whatever a client sends and whether it reads: floods of frames, replies that no client takes,
messages that are sent in part, compressed messages."""
import gzip
import re
import struct
import subprocess
import zlib

import grpc
import pytest

from support import length
from support import raw_http2 as http2
from support.background import background
from support.client import READS_LITTLE, Client, Refused, outcome, pb
from support.floods import CONNECTIONS, FLOODS, Normal, Peak, flood
from support.processes import memory
from support.waiting import wait_until

MIB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def functions(gateway):
    gateway.deploy("echo")
    gateway.deploy("kinds")
    gateway.client.invoke("kinds", b"text x")


# Floods.


@pytest.mark.process
@pytest.mark.fault("H5")
@pytest.mark.parametrize("acknowledges", [True, False], ids=["ACK", "no ACK"])
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_frames(gateway, name, acknowledges):
    more = FLOODS[name]("echo")
    with Normal(gateway, "echo"), Peak(gateway.pid) as peak:
        floods = [
            background(flood, gateway.port, more, length(0.4, 10), acknowledges) for _ in range(CONNECTIONS)]
        assert all(f.result(60) for f in floods), "a connection was not closed"
    assert peak.bytes < 64 * MIB, f"{peak.bytes / MIB:.0f} MiB more"


@pytest.mark.fault("H5")
def test_a_connection_that_floods_is_closed_and_that_is_said(own_gateway):
    gateway = own_gateway("--limit", "h2-resets=20", "--limit", "h2-control=50")
    gateway.deploy("echo")
    for kind, named in [("resets", "h2-resets"), ("PING", "h2-control")]:
        # Of those within a second only the first is said.
        wait_until(lambda kind=kind, named=named: is_closed(gateway, kind) and f"({named})" in gateway.text(), 20,
                   named)
    # One line a second at most, whatever comes.
    lines = gateway.text().count("a connection of 127.0.0.1 is closed")
    for _ in range(30):
        is_closed(gateway, "PING")
    assert gateway.text().count("a connection of 127.0.0.1 is closed") < lines + 20
    # Loopback is not refused.
    assert gateway.client.invoke("echo", b"x") == "x"
    gateway.stop()


def is_closed(gateway, kind):
    """Whether a connection that floods is closed by the other side, which it must be."""
    sock = http2.greet(gateway.port)
    sock.sendall(FLOODS[kind]("echo")(iter(range(1, 1000, 2))))
    assert http2.closed_by_peer(sock, 10)
    return True


def limit_that_bites(gateway, data):
    sock = http2.connect(gateway.port)
    sock.sendall(data)
    return http2.closed_by_peer(sock, 10)


@pytest.mark.parametrize("limit, data", [
    ("h2-unacked-streams=5", b"".join(http2.headers(s, "/pb.Gateway/List") for s in range(1, 13, 2))),
    ("h2-continuations=2", http2.frame(http2.HEADERS, 0, 1) + http2.frame(http2.CONTINUATION, 0, 1) * 3),
    ("h2-header-bytes=70KiB",
     http2.frame(http2.HEADERS, 0, 1, bytes(16_000)) + http2.frame(http2.CONTINUATION, 0, 1, bytes(14_000)) * 4),
    ("h2-empty-data=5", http2.headers(1, "/pb.Gateway/Invokes") + http2.frame(http2.DATA, 0, 1) * 6),
    ("h2-control=10", http2.frame(http2.PING, 0, 0, bytes(8)) * 11),
], ids=lambda value: value.partition("=")[0] if isinstance(value, str) else "")
def test_a_limit_of_frames(own_gateway, limit, data):
    gateway = own_gateway("--limit", limit)
    name = limit.partition("=")[0]
    assert limit_that_bites(gateway, data)
    wait_until(lambda: f"({name})" in gateway.text(), 5, name)
    gateway.stop()


@pytest.mark.process
def test_many_calls_of_h2load(gateway, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(http2.message("echo", b"x" * 64))
    done = subprocess.run(
        ["h2load", "-n", str(length(3_000, 100_000)), "-c", "8", "-m", "50", "-d", str(body),
         "-H", "content-type: application/grpc", "-H", "te: trailers",
         f"http://127.0.0.1:{gateway.port}/pb.Gateway/InvokeBytes"],
        capture_output=True, text=True, timeout=120)
    found = re.search(r"requests: (\d+) total.* (\d+) succeeded, 0 failed", done.stdout)
    assert found and found[1] == found[2], done.stdout


# Replies that nobody takes.


def unread(port, name, data, calls, window, path="/pb.Gateway/InvokeBytes"):
    """A connection that makes so many calls, lets the server send `window` bytes, and reads nothing."""
    sock = http2.greet(port, window)
    sock.sendall(b"".join(http2.call(1 + 2 * n, name, data, path) for n in range(calls)))
    return sock


@pytest.mark.alone
@pytest.mark.fault("H5")
@pytest.mark.parametrize("window", [65535, http2.WINDOW_MAX], ids=["small windows", "large windows"])
def test_replies_that_one_connection_does_not_read(own_gateway, window):
    gateway = own_gateway("--limit", "reply-bytes-per-connection=64MiB", "--limit", "reply-bytes=200MiB")
    gateway.deploy("kinds")
    gateway.deploy("echo")
    gateway.client.invoke("kinds", b"text x")
    with Normal(gateway, "echo"), Peak(gateway.pid) as peak:
        calls = length(30, 100)
        sock = unread(gateway.port, "kinds", b"big %d" % (8 * MIB), calls, window)
        # Behind them in its function's queue.
        gateway.client.invoke("kinds", b"text behind", timeout=60)
        assert len(gateway.client.invoke_bytes("kinds", b"big %d" % (16 * MIB))) == 16 * MIB
    # Its 64 MiB, what passes through meanwhile, and the other connection's.
    assert peak.bytes < 64 * MIB + 64 * MIB, f"{peak.bytes / MIB:.0f} MiB more"
    sock.close()
    wait_until(lambda: memory(gateway.pid) < 90 * MIB, 15, "its memory given back")
    gateway.stop()


@pytest.mark.alone
@pytest.mark.fault("H5")
def test_replies_that_many_connections_do_not_read(own_gateway):
    gateway = own_gateway("--limit", "reply-bytes=100MiB", "--limit", "stall=1s")
    gateway.deploy("kinds")
    gateway.deploy("echo")
    gateway.client.invoke("kinds", b"text x")
    with Normal(gateway, "echo"), Peak(gateway.pid) as peak:
        socks = [
            unread(gateway.port, "kinds", b"big %d" % (4 * MIB), 6, http2.WINDOW_MAX) for _ in range(length(20, 40))]
        gateway.client.invoke("kinds", b"text behind", timeout=100)
        # They are in the way, and do not go on: they are ended, and there is room for others.
        wait_until(lambda: not refuses(gateway, 40 * MIB), 20, "room for a large reply")
    assert peak.bytes < 220 * MIB, f"{peak.bytes / MIB:.0f} MiB more"
    assert "does not read" in gateway.text()
    for sock in socks:
        sock.close()
    gateway.stop()


def refuses(gateway, size):
    return is_refused("yes", "reply-bytes", lambda: len(gateway.client.invoke_bytes("kinds", b"big %d" % size)) != size)


def is_refused(executed, named, call):
    """Whether a call is refused for want of room. `named`: what its message names. Else what the call returns."""
    try:
        return call()
    except Refused as error:
        assert (error.name, error.executed) == ("RESOURCE_EXHAUSTED", executed) and named in error.message, error
        return True


@pytest.mark.fault("H5")
def test_a_client_that_reads_late_is_told_which_replies_had_no_room(own_gateway):
    gateway = own_gateway("--limit", "reply-bytes-per-connection=16MiB")
    gateway.deploy("kinds")
    with Client(gateway.address, *READS_LITTLE) as client:
        # A stream that is not read stops the connection's reading for none of the others.
        seen = [outcome(call, 60) for call in [client.begin("kinds", b"big %d" % (12 * MIB)) for _ in range(4)]]
        whole = [s for s in seen if isinstance(s, bytes)]
        others = [s for s in seen if isinstance(s, Refused)]
        assert whole and all(len(s) == 12 * MIB for s in whole)
        assert all((s.name, s.executed) == ("RESOURCE_EXHAUSTED", "yes") for s in others)
        # One after another they all have room: what was read counts no more.
        for _ in range(4):
            assert len(client.invoke_bytes("kinds", b"big %d" % (12 * MIB))) == 12 * MIB
    gateway.stop()


@pytest.mark.fault("H5")
@pytest.mark.parametrize("path", ["/pb.Gateway/Invokes", "/pb.Gateway/GetLog"])
def test_streams_and_logs_that_nobody_reads(own_gateway, path):
    gateway = own_gateway("--limit", "reply-bytes-per-connection=32MiB", "--limit", "reply-bytes=100MiB")
    gateway.deploy("kinds")
    gateway.deploy("noisy")
    gateway.deploy("echo")
    gateway.client.invoke("kinds", b"text x")
    with Normal(gateway, "echo"), Peak(gateway.pid) as peak:
        if path.endswith("Invokes"):
            socks = [unread(gateway.port, "kinds", b"big %d" % (8 * MIB), 20, 65535, path)]
            gateway.client.invoke("kinds", b"text behind", timeout=60)
        else:
            request = b"\0\0\0\0\x07\x0a\x05noisy"
            socks = [http2.greet(gateway.port) for _ in range(4)]
            for sock in socks:
                sock.sendall(b"".join(
                    http2.headers(1 + 2 * n, path) + http2.frame(http2.DATA, http2.END_STREAM, 1 + 2 * n, request)
                    for n in range(90)))
            for _ in range(20):
                # Those of the flood are read as well, and no more than some logs are read at a time.
                wait_until(lambda: not refuses_log(gateway), 20, "a log")
    assert peak.bytes < 110 * MIB, f"{peak.bytes / MIB:.0f} MiB more"
    for sock in socks:
        sock.close()
    gateway.stop()


def refuses_log(gateway):
    # Only a refusal says that: the log may be empty.
    return is_refused("no", "reads of logs", lambda: gateway.client.log("noisy") is None)


# Messages that are sent in part.


@pytest.mark.alone
@pytest.mark.fault("H5")
def test_inputs_that_are_sent_in_part(own_gateway):
    gateway = own_gateway("--limit", "input-bytes=100MiB", "--limit", "stall=2s", "--limit", "message=32MiB")
    gateway.deploy("echo")
    gateway.client.invoke("echo", b"x")
    count, size = length(12, 40), 30 * MIB
    with Normal(gateway, "echo", b"n" * 20_000), Peak(gateway.pid) as peak:
        uploads = [http2.Upload(gateway.port, "echo", size) for _ in range(count)]
        seen = [f.result(60) for f in [background(u.send, 19 * MIB) for u in uploads]]
        assert sorted(seen) == ["answered"] * (count - 3) + ["sent"] * 3, seen
        # They do not go on, and are in the way.
        wait_until(lambda: not refuses_input(gateway, size), 20, "room for a large input")
    assert peak.bytes < 100 * MIB + 64 * MIB, f"{peak.bytes / MIB:.0f} MiB more"
    assert "does not go on" in gateway.text()
    gateway.stop()


def refuses_input(gateway, size):
    return is_refused("no", "input-bytes", lambda: len(gateway.client.invoke_bytes("echo", bytes(size))) != size)


@pytest.mark.fault("H5")
def test_many_large_inputs_at_once_are_refused_one_by_one(own_gateway):
    """And never by the end of their connection."""
    gateway = own_gateway("--limit", "input-bytes-per-connection=20MiB")
    gateway.deploy("echo")
    with Client(gateway.address) as client:
        beside = client.begin("echo", b"small")
        seen = [outcome(call, 60) for call in [client.begin("echo", bytes(8 * MIB)) for _ in range(8)]]
        assert outcome(beside) == b"small"
        refusals = [s for s in seen if isinstance(s, Refused)]
        assert all((s.name, s.executed) == ("RESOURCE_EXHAUSTED", "no") for s in refusals), refusals
        assert [s for s in seen if isinstance(s, bytes)]
        for _ in range(4):
            assert len(client.invoke_bytes("echo", bytes(8 * MIB))) == 8 * MIB
    gateway.stop()


@pytest.mark.fault("H5")
def test_a_message_far_too_large_is_refused_before_it_comes(gateway):
    with Peak(gateway.pid) as peak:
        uploads = [http2.Upload(gateway.port, "echo", 1 << 30) for _ in range(8)]
        assert [f.result(60) for f in [background(u.send, 200 * MIB) for u in uploads]] == ["answered"] * 8
    assert peak.bytes < 64 * MIB, f"{peak.bytes / MIB:.0f} MiB more"
    for upload in uploads:
        upload.sock.close()


# Compressed messages.


def compressed_call(port, path, encoding, body, flag=1):
    """What the server answers to the first call of a connection with this message."""
    def literal(name, value):
        return b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value

    head = http2.headers(1, path)
    block = head[9:] + (literal(b"grpc-encoding", encoding) if encoding else b"")
    sock = http2.greet(port)
    sock.sendall(http2.frame(http2.HEADERS, http2.END_HEADERS, 1, block))
    message = bytes([flag]) + struct.pack(">I", len(body)) + body
    for at in range(0, len(message), 16_000):
        sock.sendall(http2.frame(http2.DATA, at + 16_000 >= len(message), 1, message[at:at + 16_000]))
    said = b""
    while frame := http2.read_frame(sock):
        said += frame[3]
        if frame[2] == 1 and frame[1] & http2.END_STREAM:
            break
    sock.close()
    return said


@pytest.mark.fault("H5")
@pytest.mark.parametrize("path", ["InvokeBytes", "Invoke", "Invokes", "Upload", "List", "DeployWatch"])
@pytest.mark.parametrize("encoding, pack", [
    (b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"br", gzip.compress), (b"identity", gzip.compress),
    (None, zlib.compress), (b"GZIP", gzip.compress)], ids=["gzip", "deflate", "br", "identity", "none", "GZIP"])
def test_a_compressed_message_is_refused_in_words(gateway, path, encoding, pack):
    message = pack(http2.message("echo", b"x" * 100)[5:])
    said = compressed_call(gateway.port, f"/pb.Gateway/{path}", encoding, message)
    assert b"grpc-status\x0212" in said and b"compressed" in said, said
    assert b"grpc-accept-encoding\x08identity" in said, said


@pytest.mark.fault("H5")
@pytest.mark.parametrize("encoding, bits", [(b"gzip", 31), (b"deflate", 15)], ids=["gzip", "deflate"])
def test_a_message_that_would_be_large_when_it_is_unpacked(gateway, encoding, bits):
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    size = length(200, 1000) * MIB
    body = packer.compress(http2.message("echo", b"")[5:] + b"\x12" + http2._varint(size))
    body += b"".join(packer.compress(bytes(MIB)) for _ in range(size // MIB)) + packer.flush()
    with Normal(gateway, "echo"), Peak(gateway.pid) as peak:
        for path in ("InvokeBytes", "Invokes", "Upload"):
            said = compressed_call(gateway.port, f"/pb.Gateway/{path}", encoding, body)
            assert b"grpc-status\x0212" in said, said
    assert peak.bytes < 32 * MIB, f"{peak.bytes / MIB:.0f} MiB more"


@pytest.mark.parametrize("algorithm", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_client_that_compresses_is_told(client, algorithm):
    request = pb.InvokeServiceRequest(Service="echo", Input=b"x" * 10_000)
    for begin in (lambda: client.stub.InvokeBytes(request, compression=algorithm, timeout=20),
                  lambda: list(client.stub.Invokes(iter([request]), compression=algorithm, timeout=20))):
        with pytest.raises(grpc.RpcError) as caught:
            begin()
        error = Refused(caught.value)
        assert (error.name, error.executed) == ("UNIMPLEMENTED", "no") and "compressed" in error.message
    # What it does not compress goes through.
    assert client.invoke("echo", b"plain") == "plain"
