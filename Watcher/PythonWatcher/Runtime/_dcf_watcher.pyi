"""The native module of the watcher: the functions of libPythonWatcher.so that the Python runtime calls.

WatcherModule.swift registers them. This stub is for readers and editors; no program reads it.
"""

from collections.abc import Callable, Iterator
from typing import Any

from _dcf_http import Http

class LinkError(Exception):
    """The gateway, or a handler that closed the link's descriptor, broke the protocol of the link."""

class Request:
    """One call of a function, as `dcf.Request`."""

    # The caller's input.
    input: bytes
    # The call's id, as in the log.
    @property
    def request_id(self) -> str: ...
    # The trace that the call belongs to.
    @property
    def traceparent(self) -> str | None: ...
    # The metadata that the caller sent with the call.
    @property
    def metadata(self) -> dict[str, str]: ...
    # How the call came over HTTP; None over another protocol.
    @property
    def http(self) -> Http | None: ...
    # The content type that the caller gave the input.
    @property
    def content_type(self) -> str | None: ...
    # The object that `set_info` was given.
    @property
    def info(self) -> Any: ...
    # On time.monotonic's clock.
    @property
    def deadline(self) -> float | None: ...
    @property
    def cancelled(self) -> bool: ...
    # Makes a request that does not come over the link; `seconds` until its deadline.
    def __new__(cls, input: bytes, seconds: float = ...) -> Request: ...
    # Seconds until the deadline, never negative.
    def remaining(self) -> float | None: ...
    # Adds metadata to the reply; raises ValueError for a key or value that is not allowed.
    def set_metadata(self, key: str, value: str, /) -> None: ...
    # Chooses the status of the reply, where the caller speaks HTTP: 200 to 599.
    def set_status(self, code: int, reason: str = ..., /) -> None: ...

# The process.

def source(name: str, /) -> bytes | None:
    """The source text of a module of the runtime, by the module's name; None when there is no such module."""

def copy_descriptor(number: int, /) -> int:
    """A copy of a descriptor with a high number, closed by exec; -1 when there can be none."""

def flush_stdio() -> None:
    """Writes the output that C code has buffered."""

def line_is_partial() -> None:
    """Has the library call `flush_partial_lines` the next time that it has nothing else to do."""

def set_info(info: Any, /) -> None:
    """Sets the object that `Request.info` gives from now on."""

def end_group() -> None:
    """Ends this process and every process that the handler started in its group. Does not return."""

# The link.

def connect(path: str, descriptor: int, token: str, task: str, python_version: str, gateway_pid: int, /) -> bytes:
    """Connects to the gateway, starts the guard thread and says Hello; returns the function's settings as JSON.

    With `descriptor` -1, dials the unix socket at `path`. Otherwise takes over that connection: to a relay on this
    machine where `path` is "fd:", else to a gateway over TCP. Raises ConnectionError or LinkError.
    """

def ready(constructor_micros: int, /) -> None:
    """Says Ready. Writes the health file, if there is one."""

def failed(stage: int, summary: str, traceback: bytes, /) -> None:
    """Says Failed. The stages are those of _dcf_loading."""

def drain() -> bool:
    """Begins a drain: the replica finishes the calls that it has, and takes no more. False before it is ready."""

def keep_health_file() -> bool:
    """From now on a file exists while the replica is ready; returns whether the file can be made."""

def may_return(seconds: int, /) -> None:
    """From now on the replica goes on for so many seconds without a gateway."""

def is_lost() -> bool:
    """Whether serving ended because the gateway went away, and another may be dialled."""

def reconnect(path: str, token: str, python_version: str, /) -> bool:
    """Dials the gateway again; False when none answers. Raises LinkError."""

# Serving.

def begin_serving(
    functions: tuple[
        # describe_exception: returns a status code, the message for the caller and the traceback.
        Callable[[BaseException], tuple[int, bytes, bytes]],
        # describe_reply: says what is wrong with a reply, or with the piece of that number.
        Callable[[object, int | None], bytes],
        # flush_partial_lines: writes the unfinished log lines of a request, or all.
        Callable[[Request | None], None],
        # close: closes an iterator before its end.
        Callable[[Iterator[object]], None],
    ],
    cancelled: type[BaseException],
    style: int,
    threads: int,
    /,
) -> None:
    """Prepares for serving; called once for each connection, before anything is served.

    `style` says what a cancel does to a call that has begun, beside setting `Request.cancelled`: 0 nothing, 1 raises
    `cancelled` in the main thread, 2 raises it in the thread that runs the call.
    """

def serve(handler: Callable[[Any], object], in_batches: bool | int, /) -> None:
    """Serves one call after another on the main thread, until a drain is done or the gateway is lost."""

def serve_threads() -> None:
    """Reads the link on the main thread for the threads in `work`, until a drain is done or the gateway is lost."""

def work(handler: Callable[[Request], object], index: int, /) -> None:
    """Runs calls on this thread, number `index`, until a drain is done or the gateway is lost."""

def current_request(index: int, /) -> Request | None:
    """The request that handler thread number `index` works on."""

def current_batch() -> list[Request] | None:
    """The requests that the handler works on as one batch."""

def focus(request: Request | None, /) -> None:
    """Sets the one request of a batch that `current_request` gives; None when the batch is worked on as a whole."""

# Answers. They do nothing for a request that has been answered, and in a process that the handler forked.

def answer(request: Request, reply: object, /) -> None:
    """Answers with what the handler returned."""

def fail(request: Request, error: BaseException, /) -> None:
    """Answers with an exception of the handler's, which is logged."""

def refuse(request: Request, code: int, message: str, /) -> None:
    """Answers with a status; the caller is told that the handler ran."""

def flush() -> None:
    """Writes the answers that wait."""

def reply_limit() -> int:
    """The largest input or reply, in bytes."""

# Replies in pieces.

def wants_pieces(request: Request, /) -> bool:
    """Whether the reply may come in pieces."""

def has_credit(request: Request, /) -> bool:
    """Whether a piece may be sent now."""

def piece(request: Request, piece: object, number: int, /) -> bool | None:
    """Sends a piece, numbered from 1; returns whether another may follow at once.

    None when the call has been answered: before, or now with an error because the piece cannot be sent.
    """

def end(request: Request, /) -> None:
    """Ends a reply in pieces."""

# The event loop.

def loop_open(concurrency: int, in_batches: bool, /) -> int:
    """Begins to serve an event loop; returns a descriptor that is readable when `loop_take` has something to tell."""

def loop_take(
    free: int, in_batches: bool, /
) -> tuple[list[Request] | list[list[Request]], bool, bool, list[tuple[int, int, str, bytes]], bool] | None:
    """What has happened since the last look; None when the gateway is lost.

    The requests, or batches, that begin now, at most `free`; whether a call was cancelled; whether one got credit; the
    answers of other functions as (id, code, message, payload); whether no more calls will come.
    """

def loop_done(request: Request, /) -> None:
    """Says that the request has been answered or never will be."""

def forget(request: Request, /) -> None:
    """Drops every answer to the request from now on: its gateway is gone."""

# Calls of other functions.

def call_out(
    name: str,
    data: bytes | str | object,
    timeout_micros: int,
    metadata: tuple[tuple[str, str], ...],
    parent: Request | None,
    watched: Request | None,
    for_loop: bool,
    /,
) -> int | tuple[int, int, str, bytes]:
    """Calls another function. `timeout_micros` 0 means no limit of its own.

    `parent` is the request with the deadline that applies to the call, `watched` the one with the cancel that ends the
    wait. With `for_loop` returns the call's id, and `loop_take` gives the answer; else waits for it, and returns
    (id, code, message, payload).
    """

def call_out_cancel(id: int, /) -> None:
    """Gives up a call that was made with `for_loop`."""
