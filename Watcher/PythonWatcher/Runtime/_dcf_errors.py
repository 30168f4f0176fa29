"""The exceptions that handlers raise and catch."""

# The names of gRPC's status codes; the index is the number.
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

# The numbers of the codes that the runtime itself uses.
CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL = 1, 2, 4, 8, 13

# The message of CANCELLED, wherever the runtime notices that the caller has gone.
CALLER_GONE = "the caller has gone away"


class Error(Exception):
    """Ends a call with a status: raise dcf.Error("NOT_FOUND", "no such picture").

    `code` is the name or number of a gRPC status code, or a grpc.StatusCode. When another function fails, dcf.call and
    mesh.mesh_call raise an Error with its status. A handler that does not catch the Error ends its own call with it.
    """

    __module__ = "dcf"

    def __init__(self, code, message=""):
        number = _number(code)
        self.number = number
        self.code = CODES[number]
        self.message = str(message)
        super().__init__(self.code, self.message)

    def __str__(self):
        return f"{self.code}: {self.message}" if self.message else self.code


class Cancelled(BaseException):
    """The caller has gone away. Raised in the handler if its config says `cancel: raise`.

    It is a BaseException, so that `except Exception` does not catch it.
    """

    __module__ = "dcf"


def _number(code):
    # The value of a grpc.StatusCode is a tuple: the number and a text.
    value = getattr(code, "value", code)
    if isinstance(value, tuple) and value:
        value = value[0]
    if isinstance(value, str):
        name = value.upper()
        if name not in CODES:
            raise ValueError("{!r} is not a status code; they are {}".format(code, ", ".join(CODES[1:])))
        value = CODES.index(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"a status code is a name, a number or a grpc.StatusCode, not {type(code).__name__}")
    if not 0 < value < len(CODES):
        note = " (OK is not an error)" if value == 0 else ""
        raise ValueError(f"a status code is one of 1 to 16, not {value:d}{note}")
    return value
