"""The link's frames, written down a second time from docs: what the watcher's own code must agree with."""
import dataclasses
import struct

HEADER = struct.Struct("<IBBHQ")
HELLO, WELCOME, READY, FAILED, CALL, REPLY, ERROR, CANCEL, DRAIN = 1, 2, 3, 4, 5, 6, 7, 11, 17
OPTIONAL, TEXT = 1, 2

#: gRPC status codes.
CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL = 1, 2, 4, 8, 13
#: Whether the handler ran.
NO, MAYBE, YES = 0, 1, 2


@dataclasses.dataclass
class Frame:
    kind: int
    flags: int
    id: int
    head: bytes
    payload: bytes


def frame(kind, head=b"", payload=b"", id=0, flags=0):
    return HEADER.pack(len(head) + len(payload), kind, flags, len(head), id) + head + payload


def string(text):
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<H", len(data)) + data


def call(id, data=b"", micros=0, request_id=None, metadata=()):
    head = struct.pack("<Q", micros) + string(f"request-{id}" if request_id is None else request_id)
    head += struct.pack("<H", len(metadata)) + b"".join(string(key) + string(value) for key, value in metadata)
    return frame(CALL, head, data, id)


class Head:
    """Reads a head field by field."""

    def __init__(self, data):
        self.data = data
        self.offset = 0

    def number(self, form):
        (value,) = struct.unpack_from("<" + form, self.data, self.offset)
        self.offset += struct.calcsize(form)
        return value

    def string(self):
        length = self.number("H")
        self.offset += length
        return self.data[self.offset - length : self.offset].decode()

    def end(self):
        assert self.offset == len(self.data)


@dataclasses.dataclass
class Error:
    code: int
    executed: int
    message: str
    traceback: str

    @staticmethod
    def of(answer):
        assert answer.kind == ERROR, answer
        head = Head(answer.head)
        error = Error(head.number("B"), head.number("B"), head.string(), answer.payload.decode())
        head.end()
        return error
