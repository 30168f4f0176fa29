"""Clients that flood the gateway with what HTTP/2 allows and no client needs, and one that only wants to work."""
import contextlib
import struct
import threading
import time

from . import raw_http2 as http2
from .client import Client, Refused
from .processes import memory

#: How many connections flood at a time.
CONNECTIONS = 4


def stream_ids():
    return iter(range(1, 1 << 31, 2))


def resets(name):
    def more(state):
        streams = [next(state) for _ in range(50)]
        return b"".join(
            http2.call(s, name, b"r") + http2.frame(http2.RST_STREAM, 0, s, struct.pack(">I", 8)) for s in streams)
    return more


def resets_without_a_message(name):
    def more(state):
        streams = [next(state) for _ in range(100)]
        return b"".join(
            http2.headers(s, "/pb.Gateway/InvokeBytes") + http2.frame(http2.RST_STREAM, 0, s, struct.pack(">I", 8))
            for s in streams)
    return more


def resets_that_the_server_sends(name):
    """More streams than it allows: it refuses each (and so with all else that is an error on a stream)."""
    def more(state):
        return b"".join(http2.headers(next(state), "/pb.Gateway/InvokeBytes") for _ in range(200))
    return more


def open_streams(name):
    def more(state):
        return b"".join(http2.headers(next(state), "/pb.Gateway/InvokeBytes") for _ in range(100))
    return more


def half_open_streams(name):
    def more(state):
        block = http2.headers(1, "/pb.Gateway/InvokeBytes")[9:]
        return b"".join(http2.frame(http2.HEADERS, 5, next(state), block) for _ in range(100))
    return more


def first(begin, then):
    """`begin` once, and then `then` for ever, on one stream."""
    def more(state):
        return begin + then * 50 if next(state) == 1 else then * 200
    return more


HEAD = http2.headers(1, "/pb.Gateway/InvokeBytes")
BEGUN = HEAD + http2.frame(http2.DATA, 0, 1, b"\0\1\0\0\0" + b"x" * 200)
OPEN_BLOCK = http2.frame(http2.HEADERS, 0, 1, HEAD[9:])
#: A string of HPACK whose length has not ended, and one that begins and goes on for 256 MiB.
ENDLESS_LENGTH, ENDLESS_STRING = b"\x00\x7f" + b"\x80" * 14_000, b"\x00\x7f\x80\xff\xff\x7f" + b"a" * 14_000

FLOODS = {
    "resets": resets,
    "resets without a message": resets_without_a_message,
    "resets that the server sends": resets_that_the_server_sends,
    "open streams": open_streams,
    "half-open streams": half_open_streams,
    "CONTINUATION": lambda name: first(OPEN_BLOCK, http2.frame(http2.CONTINUATION, 0, 1, b"\x00\x01a\x01b")),
    "empty CONTINUATION": lambda name: first(OPEN_BLOCK, http2.frame(http2.CONTINUATION, 0, 1)),
    "endless HPACK length": lambda name: first(OPEN_BLOCK, http2.frame(http2.CONTINUATION, 0, 1, ENDLESS_LENGTH)),
    "endless HPACK string": lambda name: first(
        http2.frame(http2.HEADERS, 0, 1, ENDLESS_STRING), http2.frame(http2.CONTINUATION, 0, 1, b"a" * 16_000)),
    "empty DATA": lambda name: first(HEAD, http2.frame(http2.DATA, 0, 1)),
    "DATA of one byte": lambda name: first(BEGUN, http2.frame(http2.DATA, 0, 1, b"x")),
    "PING": lambda name: lambda state: http2.frame(http2.PING, 0, 0, b"12345678") * 200,
    "PING that answers nothing": lambda name: lambda state: http2.frame(http2.PING, 1, 0, b"12345678") * 200,
    "SETTINGS": lambda name: lambda state: http2.frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 200,
    "PRIORITY": lambda name: lambda state: http2.frame(http2.PRIORITY, 0, 3, struct.pack(">IB", 0, 1)) * 500,
    "WINDOW_UPDATE": lambda name: lambda state: http2.frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 500,
    "unknown frames": lambda name: lambda state: http2.frame(0x77, 0, 0, b"z" * 100) * 200,
}


def flood(port, more, seconds, acknowledges):
    """Floods on one connection after another, reading nothing, for so long, and until the first was closed by the other
    side; returns how many were."""
    closed, end = 0, time.monotonic() + seconds
    last = end + 30
    while time.monotonic() < (end if closed else last):
        try:
            with (http2.greet(port, timeout=5) if acknowledges else http2.connect(port, timeout=5)) as sock:
                state = stream_ids()
                while time.monotonic() < (end if closed else last):
                    with contextlib.suppress(TimeoutError):
                        sock.sendall(more(state))
        except (ConnectionError, TypeError):
            closed += 1
        except TimeoutError:
            # It did not answer the greeting yet.
            continue
    return closed


class Normal:
    """A client that calls `name` now and then, on a connection of its own, and never may be refused."""

    def __init__(self, gateway, name, data=b"n", timeout=20):
        self._client, self._name, self._data, self._timeout = Client(gateway.address), name, data, timeout
        self._stop = threading.Event()
        self.calls, self.failures = 0, []
        self._client.invoke_bytes(name, data, timeout=timeout)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.wait(0.01):
            self.calls += 1
            try:
                self._client.invoke_bytes(self._name, self._data, timeout=self._timeout)
            except Refused as error:
                self.failures.append(str(error))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        self._thread.join()
        self._client.close()
        if kind is None:
            assert not self.failures, f"{len(self.failures)} of {self.calls} calls failed: {self.failures[:3]}"


class Peak:
    """How much memory a process has at the most, above what it had before."""

    def __init__(self, pid):
        self._pid, self._stop, self._most = pid, threading.Event(), 0
        self._before = memory(pid)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.wait(0.02):
            self._most = max(self._most, memory(self._pid) - self._before)

    @property
    def bytes(self):
        return max(self._most, memory(self._pid) - self._before)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
