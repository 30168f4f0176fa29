"""A gateway's end of the link, for one watcher."""
import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import frames

BIN = pathlib.Path(os.environ.get("DCF_BIN", pathlib.Path(__file__).parents[2] / ".build/debug"))
WATCHER = BIN / "dcf-watcher"

#: Nothing here takes this long; a test that waits longer is stuck.
PATIENCE = 60

#: Seconds that a handler sleeps which never ends by itself: much longer than PATIENCE.
FOREVER = 600


def settings(**others):
    """The usual settings of a function, with others for a test."""
    return {**SETTINGS, **others}


SETTINGS = {
    "name": "tested",
    "version": 3,
    "parameters": {"factor": 2},
    "timeout": {"call": 60.0, "start": 30.0},
    "limits": {"memory": None, "cpu": None},
}


def state_of(process):
    """The kernel's letter for a process, or for a thread (PID/task/TID); empty once it is gone."""
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_for(condition):
    """Returns when the condition is true. For conditions that nothing announces: a file, or a process's state."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def rests(pid):
    """Returns when all threads of a process wait, in two looks in a row: it has done the work after its last answer."""
    looks = 0

    def has_rested():
        nonlocal looks
        states = {state_of(f"{pid}/task/{thread}") for thread in os.listdir(f"/proc/{pid}/task")}
        looks = looks + 1 if states == {"S"} else 0
        return looks == 2

    wait_for(has_rested)


def send_in_parts(link, data, size):
    """Sends data in parts of at most `size` bytes with short pauses between them, as a slow network does."""
    for begin in range(0, len(data), size):
        link.sendall(data[begin : begin + size])
        time.sleep(0.002)


def tcp_address(listener):
    """The address of a listener, as DCF_LINK has it."""
    host, port = listener.getsockname()[:2]
    return f"tcp:{host}:{port}"


class Pump(threading.Thread):
    """Reads one of the watcher's streams to its end."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self._stream = stream
        self._changed = threading.Condition()
        self._data = b""
        self._ended = False
        self.start()

    def run(self):
        while data := os.read(self._stream.fileno(), 1 << 16):
            with self._changed:
                self._data += data
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, wanted, times=1):
        """All that has come, once it contains `wanted` so many times."""
        with self._changed:
            is_there = self._changed.wait_for(lambda: self._data.count(wanted) >= times or self._ended, PATIENCE)
            assert is_there, self._data
            assert self._data.count(wanted) >= times, self._data
            return self._data

    def all(self):
        """All that has come, once the stream has ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended, PATIENCE), self._data
            return self._data


class Replica:
    """A watcher process and its link. The end of a `with` closes the link and kills the process."""

    #: Whether the link is over TCP.
    is_remote = False

    def __init__(self, folder, python, handler=None, file="handler.py", name="Handler", settings=None,
                 environment=None, max_body=64 << 20, launcher=WATCHER, parent=None, contained=False, tcp=None,
                 inside=(), link="l"):
        """`contained`: the watcher is the first process, as in a container. `tcp`: a listener that it dials.
        `inside`: a command that starts the watcher. `link`: the name of its socket."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        if handler is not None:
            (self.folder / "handler.py").write_text(handler)
        self.max_body = max_body
        self.settings = SETTINGS if settings is None else settings
        self.token = "secret-token"
        self.is_remote = tcp is not None
        if self.is_remote:
            self._listener = tcp
            self._path = tcp_address(tcp)
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._path = str(self.folder / link)
            self._listener.bind(self._path)
            self._listener.listen()
        self._listener.settimeout(PATIENCE)
        self.link = None
        self._buffer = b""
        #: How long the handler takes for a call, in nanoseconds, each time that the watcher told it.
        self.paces = []
        self.python = str(python)
        parent_arguments = () if contained else ("--parent", str(parent or os.getpid()))
        self.process = subprocess.Popen(
            [*inside, str(launcher), *parent_arguments, "--python", str(python)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8",
                "HANDLER_DIR": str(self.folder), "HANDLER_FILE": file, "HANDLER_NAME": name,
                "DCF_LINK": self._path, "DCF_TOKEN": self.token,
                **{k: os.environ[k] for k in ("DCF_TEST_PRELOAD",) if k in os.environ}, **(environment or {}),
            },
        )
        self.out = Pump(self.process.stdout)
        self.err = Pump(self.process.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for stream in (self.link, self._listener):
            if stream is not None:
                stream.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    # The handshake.

    def accept(self):
        self.link, _ = self._listener.accept()
        self.link.settimeout(PATIENCE)
        if self.is_remote:
            self.nonce = os.urandom(32)
            self.send(frames.frame(frames.CHALLENGE, self.nonce))
        self.hello = self.receive()
        assert self.hello.kind == frames.HELLO
        return self.hello

    def code(self, message):
        return hmac.new(self.token.encode(), message, hashlib.sha256).digest()

    def welcome(self, version=1):
        head = version.to_bytes(2, "little") + self.max_body.to_bytes(8, "little")
        if self.is_remote:
            head += self.code(b"dcf-gateway-1" + frames.Hello.of(self.hello).nonce)
        self.send(frames.frame(frames.WELCOME, head, json.dumps(self.settings).encode()))

    def ready(self):
        """Does the whole handshake; returns the watcher's Ready or Failed."""
        self.accept()
        self.welcome()
        return self.receive()

    def started(self):
        """Does the whole handshake, which must end with Ready."""
        answer = self.ready()
        assert answer.kind == frames.READY, answer
        return self

    # Frames.

    def send(self, *data):
        self.link.sendall(b"".join(data))

    def _receive_bytes(self, count):
        parts = [self._buffer[:count]]
        self._buffer = self._buffer[count:]
        missing = count - len(parts[0])
        while missing:
            data = self.link.recv(min(missing, 1 << 20))
            if not data:
                raise EOFError
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def receive(self):
        """The next frame. What the watcher tells about its handler's pace is kept apart."""
        while True:
            length, kind, flags, head, id = frames.HEADER.unpack(self._receive_bytes(frames.HEADER.size))
            body = self._receive_bytes(length)
            if kind != frames.PACE:
                return frames.Frame(kind, flags, id, body[:head], body[head:])
            assert (flags, id, length) == (frames.OPTIONAL, 0, 8)
            self.paces.append(int.from_bytes(body, "little"))

    def ask(self, data=b"", id=1, **options):
        """Makes a call; returns the frame of its answer."""
        self.send(frames.call(id, data, **options))
        answer = self.receive()
        assert answer.id == id
        return answer

    def reply(self, data=b"", **options):
        """Makes a call that must succeed; returns the reply's bytes."""
        answer = self.ask(data, **options)
        assert answer.kind == frames.REPLY, frames.Error.of(answer)
        return answer.payload

    def error(self, data=b"", **options):
        """Makes a call that must fail; returns the error."""
        return frames.Error.of(self.ask(data, **options))

    def stream(self, data=b"", id=1, credit=True, **options):
        """Makes a call with a reply in pieces; returns the pieces' payloads, and the frame that ended it."""
        self.send(frames.call(id, data, flags=frames.STREAM, **options))
        pieces = []
        while True:
            answer = self.receive()
            assert answer.id == id
            if answer.kind != frames.PIECE:
                return pieces, answer
            pieces.append(answer.payload)
            if credit and answer.payload:
                self.send(frames.credit(id, len(answer.payload)))

    # The end.

    def drain(self):
        self.send(frames.frame(frames.DRAIN))

    def status(self):
        return self.process.wait(PATIENCE)

    def ended(self):
        """Whether the link is at its end, with no more frames."""
        try:
            return self.receive() is None
        except (EOFError, ConnectionError):
            return True


def once(folder, python, data=b"", handler=None, config=None, environment=None, **options):
    """Makes one call without a link."""
    folder = pathlib.Path(folder)
    if handler is not None:
        (folder / "handler.py").write_text(handler)
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HANDLER_DIR": str(folder), "HANDLER_FILE": "handler.py",
           "HANDLER_NAME": "Handler", **(environment or {})}
    if config is not None:
        env["DCF_CONFIG"] = json.dumps(config)
    return subprocess.run(
        [str(WATCHER), "--once", "--python", str(python)], input=data, capture_output=True, env=env,
        timeout=PATIENCE, **options)
