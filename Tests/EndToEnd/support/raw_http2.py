"""Just enough HTTP/2 to be a client that misbehaves in ways no gRPC library would."""
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM, END_HEADERS = 1, 4
# Of SETTINGS and PING.
ACK = 1


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


def connect(port, settings=b"", timeout=30, host="127.0.0.1"):
    """A connection that has said who it is."""
    sock = socket.create_connection((host, port), timeout)
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


# Settings by their number.
INITIAL_WINDOW_SIZE, WINDOW_MAX = 4, 0x7FFFFFFF
RST_STREAM, CONTINUATION, PRIORITY = 3, 9, 2


def message(name, data, compressed=0):
    """A gRPC message: an InvokeServiceRequest of a function with a short name."""
    body = b"\x0a" + bytes([len(name)]) + name.encode() + b"\x12" + _varint(len(data)) + data
    return bytes([compressed]) + struct.pack(">I", len(body)) + body


def _varint(number):
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def call(stream, name, data=b"", path="/pb.Gateway/InvokeBytes"):
    return headers(stream, path) + frame(DATA, END_STREAM, stream, message(name, data))


def read_frame(sock):
    """The next frame: kind, flags, stream, payload; None at the connection's end."""
    head = _read(sock, 9)
    if head is None:
        return None
    payload = _read(sock, int.from_bytes(head[:3], "big"))
    return None if payload is None else (head[3], head[4], int.from_bytes(head[5:9], "big"), payload)


def _read(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            return None
        data += more
    return data


def greet(port, windows=65535, timeout=30):
    """A connection like that of a real client: it has the server's settings, and has acknowledged them."""
    sock = connect(port, struct.pack(">HI", INITIAL_WINDOW_SIZE, windows), timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if windows > 65535:
        sock.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", windows - 65535)))
    while True:
        kind, flags, _, _ = read_frame(sock)
        if kind == SETTINGS and not flags & 1:
            sock.sendall(frame(SETTINGS, 1, 0))
            return sock


class Upload:
    """Sends the beginning of a large message, as fast as the other side's windows allow."""

    def __init__(self, port, name, size, path="/pb.Gateway/InvokeBytes"):
        self.sock = connect(port)
        self.path, self.window, self.stream_window = path, 65535, 65535
        head = b"\x0a" + bytes([len(name)]) + name.encode() + b"\x12" + _varint(size)
        self.begin = b"\0" + struct.pack(">I", len(head) + size) + head

    def send(self, count):
        """Sends so many bytes of it. "sent", or "answered" or "closed" when the other side does not want them."""
        try:
            self.sock.sendall(headers(1, self.path))
            waiting = self.begin
            while count > 0:
                size = min(16384, self.window, self.stream_window, count)
                if size < max(len(waiting), 1):
                    if said := self._hear():
                        return said
                    continue
                self.sock.sendall(frame(DATA, 0, 1, waiting + bytes(size - len(waiting))))
                waiting = b""
                count, self.window, self.stream_window = count - size, self.window - size, self.stream_window - size
            return "sent"
        except (BrokenPipeError, ConnectionResetError):
            return "closed"

    def _hear(self):
        got = read_frame(self.sock)
        if got is None:
            return "closed"
        kind, flags, stream, payload = got
        if kind == HEADERS:
            return "answered"
        if kind == SETTINGS and not flags & 1:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[at:at + 6])
                if name == INITIAL_WINDOW_SIZE:
                    self.stream_window += value - 65535
            self.sock.sendall(frame(SETTINGS, 1, 0))
        elif kind == PING and not flags & 1:
            self.sock.sendall(frame(PING, 1, 0, payload))
        elif kind == WINDOW_UPDATE:
            value = int.from_bytes(payload, "big")
            if stream == 0:
                self.window += value
            else:
                self.stream_window += value
        return None
