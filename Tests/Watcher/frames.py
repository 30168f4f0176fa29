"""The link's frames, written a second time from docs/link.md; the watcher's own code must agree with this."""
import dataclasses
import struct

HEADER = struct.Struct("<IBBHQ")
HELLO, WELCOME, READY, FAILED, CALL, REPLY, ERROR, PIECE, END, CREDIT, CANCEL = range(1, 12)
RECALL, RETURNED, CALL_OUT, CALL_REPLY = range(12, 16)
DRAIN, BATCH, CHALLENGE, LEAVING, STOP, STACKS, PACE = 17, 20, 21, 22, 23, 24, 25
OPTIONAL, TEXT, STREAM = 1, 2, 4

#: gRPC status codes.
CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, RESOURCE_EXHAUSTED = 1, 2, 3, 4, 5, 8
FAILED_PRECONDITION, INTERNAL = 9, 13
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


def pairs(metadata):
    return struct.pack("<H", len(metadata)) + b"".join(string(key) + string(value) for key, value in metadata)


def call(id, data=b"", micros=0, request_id=None, metadata=(), flags=0):
    head = struct.pack("<Q", micros) + string(f"request-{id}" if request_id is None else request_id)
    return frame(CALL, head + pairs(metadata), data, id, flags)


def batch(*calls):
    """A batch: calls that the handler gets as one list."""
    return frame(BATCH, struct.pack("<H", len(calls))) + b"".join(calls)


def credit(id, count):
    return frame(CREDIT, struct.pack("<I", count), id=id)


def cancel(id):
    return frame(CANCEL, id=id)


def call_reply(id, data=b"", code=0, executed=2, message=""):
    return frame(CALL_REPLY, struct.pack("<BB", code, executed) + string(message), data, id)


class Head:
    """Reads a head field by field."""

    def __init__(self, data):
        self.data = data
        self.offset = 0

    def number(self, form):
        (value,) = struct.unpack_from("<" + form, self.data, self.offset)
        self.offset += struct.calcsize(form)
        return value

    def bytes(self, count):
        self.offset += count
        return self.data[self.offset - count : self.offset]

    def string(self):
        length = self.number("H")
        self.offset += length
        return self.data[self.offset - length : self.offset].decode()

    def pairs(self):
        return [(self.string(), self.string()) for _ in range(self.number("H"))]

    def end(self):
        assert self.offset == len(self.data)


@dataclasses.dataclass
class Hello:
    """A watcher's Hello; `code` and `nonce` over TCP only."""

    pid: int
    token: str
    python: str
    task: str = ""
    code: bytes = b""
    nonce: bytes = b""

    @staticmethod
    def of(frame):
        assert frame.kind == HELLO, frame
        head = Head(frame.head)
        assert (head.number("H"), head.number("H")) == (1, 1)
        hello = Hello(head.number("I"), head.string(), head.string())
        if head.offset < len(frame.head):
            hello.task, hello.code, hello.nonce = head.string(), head.bytes(32), head.bytes(32)
        head.end()
        return hello


@dataclasses.dataclass
class Error:
    code: int
    executed: int
    message: str
    traceback: str
    metadata: list = dataclasses.field(default_factory=list)

    @staticmethod
    def of(answer):
        assert answer.kind == ERROR, answer
        head = Head(answer.head)
        error = Error(head.number("B"), head.number("B"), head.string(), answer.payload.decode(),
                      head.pairs())
        head.end()
        return error


@dataclasses.dataclass
class CallOut:
    parent: int
    micros: int
    service: str
    metadata: list
    id: int
    data: bytes

    @staticmethod
    def of(asked):
        assert asked.kind == CALL_OUT, asked
        head = Head(asked.head)
        made = CallOut(head.number("Q"), head.number("Q"), head.string(), head.pairs(), asked.id, asked.payload)
        head.end()
        return made


def metadata(answer):
    """The caller's metadata of a Reply or an End."""
    assert answer.kind in (REPLY, END), answer
    head = Head(answer.head)
    found = head.pairs()
    head.end()
    return found


def returned(answer):
    """The ids of the calls in a Returned."""
    assert answer.kind == RETURNED, answer
    head = Head(answer.head)
    found = [head.number("Q") for _ in range(head.number("H"))]
    head.end()
    return found
