"""Replies of every kind, and every way to raise: the input says which."""
import array
import sys


class Oddity(Exception):
    pass


class Handler:
    def __call__(self, req):
        kind, _, rest = bytes(req.input).partition(b" ")
        return getattr(self, kind.decode())(rest.decode())

    def text(self, rest):
        return rest

    def bytes(self, rest):
        return rest.encode()

    def bytearray(self, rest):
        return bytearray(rest.encode())

    def memoryview(self, rest):
        return memoryview(rest.encode())

    def strided(self, rest):
        return memoryview(rest.encode())[::2]

    def array(self, rest):
        return array.array("B", rest.encode())

    def binary(self, rest):
        return b"\xff\xfe\x00\x80"

    def surrogate(self, rest):
        return "\ud800"

    def big(self, rest):
        return b"x" * int(rest)

    def int(self, rest):
        return 5

    def none(self, rest):
        return None

    def dict(self, rest):
        return {"a": 1}

    def list(self, rest):
        return ["one", "two"]

    def error(self, rest):
        raise ValueError(rest)

    def oddity(self, rest):
        raise Oddity(rest)

    def exit(self, rest):
        sys.exit(3)

    def interrupt(self, rest):
        raise KeyboardInterrupt

    def silent(self, rest):
        raise MemoryError

    def deep(self, rest):
        def down(n):
            return down(n + 1) + 1

        return down(0)

    def long(self, rest):
        raise RuntimeError("é" * 100_000)
