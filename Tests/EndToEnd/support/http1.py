"""A client of HTTP/1.1 over one socket, so that tests see what is on the wire and decide when it ends."""
import contextlib
import json
import socket


class Answer:
    def __init__(self, status, reason, headers, body, whole):
        self.status, self.reason, self.headers, self.body, self.whole = status, reason, headers, body, whole

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:200]!r}{'' if self.whole else ' (broken off)'}>"


class Connection:
    def __init__(self, port, timeout=30, host="127.0.0.1"):
        self.authority = f"{host}:{port}"
        self.sock = socket.create_connection((host, port), timeout)
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def head(self, method, path, headers=(), body=None):
        """The bytes of a request's head. `Host` and `Content-Length` come by themselves."""
        pairs = dict(headers)
        lower = {name.lower() for name in pairs}
        lines = [f"{method} {path} HTTP/1.1"]
        if "host" not in lower:
            lines.append(f"Host: {self.authority}")
        if body is not None and not lower & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in pairs.items() if value is not None]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def request(self, method, path, body=None, headers=()):
        self.send(self.head(method, path, headers, body) + (body or b""))
        return self.answer(method)

    def post(self, path, body=b"", **headers):
        return self.request("POST", path, body, {k.replace("_", "-"): v for k, v in headers.items()})

    def get(self, path, **headers):
        return self.request("GET", path, None, {k.replace("_", "-"): v for k, v in headers.items()})

    def begin(self):
        """The status and the headers of an answer; its body is still to be read."""
        line = self.file.readline()
        assert line, "the connection ended without an answer"
        version, status, *reason = line.decode().rstrip("\r\n").split(" ", 2)
        assert version == "HTTP/1.1"
        headers = {}
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").rstrip("\r\n").partition(": ")
            headers[name.lower()] = value
        return int(status), " ".join(reason), headers

    def chunk(self):
        """The next chunk; b"" at the end; None where the reply is broken off."""
        line = self.file.readline()
        if not line:
            return None
        size = int(line, 16)
        data = self.file.read(size)
        if len(data) < size or self.file.read(2) != b"\r\n":
            return None
        return data

    def answer(self, method="POST"):
        status, reason, headers = self.begin()
        if method == "HEAD" or status in (204, 304) or status < 200:
            return Answer(status, reason, headers, b"", True)
        if headers.get("transfer-encoding") != "chunked":
            size = int(headers["content-length"])
            body = self.file.read(size)
            return Answer(status, reason, headers, body, len(body) == size)
        body = b""
        while chunk := self.chunk():
            body += chunk
        return Answer(status, reason, headers, body, chunk == b"")

    def is_closed(self, seconds=5):
        """Whether the server closes the connection within `seconds`, without another byte."""
        self.sock.settimeout(seconds)
        with contextlib.suppress(ConnectionResetError):
            try:
                return self.file.read(1) == b""
            except TimeoutError:
                return False
        return True


def call(port, path, body=b"", **headers):
    """One POST on a connection of its own."""
    with Connection(port) as connection:
        return connection.post(path, body, **headers)
