"""Just enough HTTP/2 to be a client that misbehaves in ways no gRPC library would."""
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _literal(name, value):
    """A header field, literal and never indexed, both strings shorter than 127 bytes."""
    return b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value


def headers(stream, path, authority="localhost"):
    block = b"".join(
        _literal(name.encode(), value.encode())
        for name, value in [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", authority),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ])
    return frame(HEADERS, END_HEADERS, stream, block)


def connect(port, settings=b"", timeout=30):
    """A connection that has said who it is."""
    sock = socket.create_connection(("127.0.0.1", port), timeout)
    sock.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
    return sock


def closed_by_peer(sock, seconds):
    """Whether the other side closes the connection within `seconds`."""
    sock.settimeout(seconds)
    try:
        while sock.recv(65536):
            pass
        return True
    except (ConnectionResetError, BrokenPipeError):
        return True
    except TimeoutError:
        return False
