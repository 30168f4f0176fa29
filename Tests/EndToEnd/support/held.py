"""Calls that are held in the handler until the test says what they shall do: functions/held is the other end.

So a test waits for what happens, never for time to pass. A call has begun when `next()` returns it, and it ends when
the test tells it to."""
import ast
import contextlib
import json
import queue
import secrets
import socket
import struct
import threading

from .waiting import wait_for


class HeldCall:
    """One call (or batch, stream, constructor, close()) that stands in the handler."""

    def __init__(self, connection):
        self.connection = connection
        self.file = connection.makefile("rw")
        first = json.loads(self.file.readline())
        self.kind, self.thread = first["kind"], first["thread"]
        #: As this machine counts: what a container takes for its own process id is 1.
        self.pid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        self.inputs = [text.encode("latin-1") for text in first["inputs"]]

    def __repr__(self):
        return f"<{self.kind} {self.inputs} in {self.pid}>"

    @property
    def input(self):
        assert len(self.inputs) == 1, f"a {self.kind} of {len(self.inputs)}: {self.inputs}"
        return self.inputs[0]

    def _order(self, word, text=""):
        self.file.write(json.dumps([word, text]) + "\n")
        self.file.flush()

    def heard(self, seconds=10):
        """The handler's next words."""
        self.connection.settimeout(seconds)
        try:
            line = self.file.readline()
        except TimeoutError:
            raise AssertionError(f"{self} said nothing within {seconds} s") from None
        finally:
            self.connection.settimeout(None)
        assert line, f"{self} ended without a word"
        return json.loads(line)

    def eval(self, text):
        """The value of a Python expression in the handler; `req` (or `reqs`), `dcf` and `self` are there."""
        self._order("eval", text)
        said = self.heard()
        assert "value" in said, f"{text} in the handler: {said.get('error', said)}"
        return ast.literal_eval(said["value"])

    def error(self, text):
        """The repr of what a Python expression raises in the handler."""
        self._order("eval", text)
        said = self.heard()
        assert "error" in said, f"{text} in the handler raised nothing: {said}"
        return said["error"]

    def becomes(self, text, wanted, seconds=10):
        """Waits until a Python expression has a value."""
        wait_for(wanted, lambda: self.eval(text), seconds, f"{text} in {self}", every=0.005)

    def undisturbed(self, seconds):
        """Has the handler run Python code for so long. Nothing may be raised in it."""
        assert self.eval(f"[time.sleep(0.002) for _ in range({round(seconds / 0.002)})][0]") is None

    def returns(self, value=b"done"):
        self._order("return", repr(value))

    def returns_value_of(self, text):
        self._order("return", text)

    def yields(self, value):
        self._order("yield", repr(value))

    def raises(self, text):
        """Raises what the expression makes, as `ValueError("no")`."""
        self._order("raise", text)

    def spin(self):
        """Keeps it in Python code for ever; `heard()` tells what ended that."""
        self._order("spin")
        assert self.heard() == {"spins": True}

    def awaits(self, text):
        """Has an async handler await an expression; `heard()` tells what was raised there."""
        self._order("await", text)
        assert self.heard() == {"awaits": True}

    def stuck(self, text):
        """Has it evaluate an expression that does not come back."""
        self._order("stuck", text)

    def close(self):
        with contextlib.suppress(OSError):
            self.file.close()
        self.connection.close()


class Calls:
    """Where held calls arrive."""

    def __init__(self):
        # Without a file: a container in this machine's network reaches it too.
        self.path = f"@dcf-held-{secrets.token_hex(8)}"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind("\0" + self.path[1:])
        self.listener.listen(1024)
        #: The inputs of all that began, in order.
        self.begun = []
        self._arrived, self._all = queue.Queue(), []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
                call = HeldCall(connection)
            except (OSError, ValueError):
                if self.listener.fileno() < 0:
                    return
                continue
            self.begun += call.inputs
            self._all.append(call)
            self._arrived.put(call)

    def next(self, seconds=20):
        """The next call that has begun."""
        try:
            return self._arrived.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"no call reached a handler within {seconds} s; so far: {self.begun}") from None

    def take(self, count, seconds=20):
        return [self.next(seconds) for _ in range(count)]

    def nothing(self, seconds=0.3):
        """No further call begins for a while."""
        try:
            call = self._arrived.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"{call} began, and should have waited")

    def config(self, name="Handler", parameters=None, **more):
        """The part of a config that has functions/held report here."""
        return {"handler": {"name": name}, "parameters": {"calls": self.path, **(parameters or {})}, **more}

    def close(self):
        # A shutdown ends the thread's accept().
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for call in self._all:
            call.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
