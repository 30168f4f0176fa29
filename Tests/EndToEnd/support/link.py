"""A gateway's end of the link, for one container: what a watcher in an image needs to become ready and be called."""
import json
import os
import pathlib
import socket
import sys

sys.path.append(str(pathlib.Path(__file__).parents[2] / "Watcher"))

import frames  # noqa: E402

PATIENCE = 60
TOKEN = "secret-token"


class Link:
    """A listening socket in a folder of its own, which is mounted at /dcf/link."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / "link.sock"))
        # As the gateway's: the token is the key.
        os.chmod(self.folder, 0o711)
        os.chmod(self.folder / "link.sock", 0o666)
        self._listener.listen()
        self._listener.settimeout(PATIENCE)
        self._link, self._calls = None, 0

    #: What `docker run` needs to know.
    @property
    def flags(self):
        return ("--volume", f"{self.folder}:/dcf/link:ro", "--env", "DCF_LINK=unix:/dcf/link/link.sock",
                "--env", f"DCF_TOKEN={TOKEN}", "--env", "DCF_CONTAINER=1")

    def accept(self, **settings):
        """The handshake; the watcher's Ready or Failed."""
        self._link, _ = self._listener.accept()
        self._link.settimeout(PATIENCE)
        hello = self._receive()
        assert hello.kind == frames.HELLO and TOKEN.encode() in hello.head
        head = (1).to_bytes(2, "little") + (64 << 20).to_bytes(8, "little")
        self._send(
            frames.frame(frames.WELCOME, head, json.dumps({"name": "tested", "version": 1, **settings}).encode()))
        return self._receive()

    def ready(self, **settings):
        answer = self.accept(**settings)
        assert answer.kind == frames.READY, answer
        return self

    def begin(self, data):
        self._calls += 1
        self._send(frames.call(self._calls, data))

    def finish(self):
        answer = self._receive()
        while answer.kind == frames.LEAVING:
            answer = self._receive()
        assert answer.kind == frames.REPLY, answer
        return answer.payload

    def call(self, data):
        self.begin(data)
        return self.finish()

    def drain(self):
        self._send(frames.frame(frames.DRAIN))

    def close(self):
        for each in (self._link, self._listener):
            if each is not None:
                each.close()

    def _send(self, data):
        self._link.sendall(data)

    def _receive(self):
        length, kind, flags, head, id = frames.HEADER.unpack(self._exactly(frames.HEADER.size))
        body = self._exactly(length)
        return frames.Frame(kind, flags, id, body[:head], body[head:])

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            more = self._link.recv(min(count - len(data), 1 << 20))
            if not more:
                raise EOFError
            data += more
        return data
