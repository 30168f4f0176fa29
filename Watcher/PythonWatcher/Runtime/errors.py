"""The exceptions that handlers raise and catch."""

CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)


class Error(Exception):
    """Ends a call with a status: raise dcf.Error("NOT_FOUND", "no such picture").

    `code` is a name of gRPC's status codes, its number, or a grpc.StatusCode. dcf.call and mesh.mesh_call raise it when
    the other function fails, with the status that it ended with; raised on, it becomes the caller's.
    """

    __module__ = "dcf"

    def __init__(self, code, message=""):
        number = _number(code)
        self.number = number
        self.code = CODES[number]
        self.message = str(message)
        super().__init__(self.code, self.message)

    def __str__(self):
        return "%s: %s" % (self.code, self.message) if self.message else self.code


class Cancelled(BaseException):
    """The caller has gone away. Raised in a handler whose config says `cancel: raise`.

    Not an Exception, so that `except Exception` does not hold it up.
    """

    __module__ = "dcf"


def _number(code):
    # What grpc.StatusCode has: a number and a text.
    value = getattr(code, "value", code)
    if isinstance(value, tuple) and value:
        value = value[0]
    if isinstance(value, str):
        name = value.upper()
        if name not in CODES:
            raise ValueError("%r is no status code; they are %s" % (code, ", ".join(CODES[1:])))
        value = CODES.index(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("a status code is a name, a number or a grpc.StatusCode, not %s" % type(code).__name__)
    if not 0 < value < len(CODES):
        note = " (OK is no error)" if value == 0 else ""
        raise ValueError("a status code is one of 1 to 16, not %d%s" % (value, note))
    return value
