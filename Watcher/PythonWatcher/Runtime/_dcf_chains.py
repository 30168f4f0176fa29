"""Calls that a handler makes to other functions, over the link."""

import _dcf_context
import _dcf_watcher
from _dcf_errors import Error
from _dcf_importing import load

# Why no function can be called; None while they can be.
refusal = "other functions can be called once this replica is ready, not while it starts"

# The event loop of an async handler, None in other replicas; and the futures of its calls, by the call's id.
loop = None
waiting = {}

# The gateway enforces a call's timeout. The watcher waits this much longer for the gateway's answer, in seconds.
_PATIENCE = 0.25


def call(name, data=b"", timeout=None, metadata=None):
    """Calls another function and waits for its reply, as bytes.

    `data` is str, bytes or bytes-like, `timeout` in seconds, `metadata` a mapping of str to str. Raises Error.
    """
    _, code, message, payload = _dcf_watcher.call_out(*_arguments(name, data, timeout, metadata), False)
    return _reply(code, message, payload)


async def call_async(name, data=b"", timeout=None, metadata=None):
    """Calls another function like `call`, without blocking the event loop."""
    asyncio = load("asyncio")
    if loop is None or asyncio.get_running_loop() is not loop:
        return await asyncio.to_thread(call, name, data, timeout, metadata)
    id = _dcf_watcher.call_out(*_arguments(name, data, timeout, metadata), True)
    answer = waiting[id] = loop.create_future()
    try:
        return _reply(*await (answer if timeout is None else asyncio.wait_for(answer, timeout + _PATIENCE)))
    except asyncio.TimeoutError:
        raise Error("DEADLINE_EXCEEDED", "the other function did not answer in time") from None
    finally:
        # The ids start again with a new gateway, so this id may belong to another call by now.
        if waiting.get(id) is answer:
            del waiting[id]
            _dcf_watcher.call_out_cancel(id)


def deliver(answers):
    """Hands answers, each (id, code, message, payload), to the calls of `call_async` that wait for them."""
    for id, code, message, payload in answers:
        future = waiting.pop(id, None)
        if future is not None and not future.done():
            future.set_result((code, message, payload))


def lose():
    """Fails all waiting calls: the link is lost, so no answer will come."""
    for future in list(waiting.values()):
        if not future.done():
            future.set_exception(Error("UNAVAILABLE", "the gateway went away"))
    waiting.clear()


def _arguments(name, data, timeout, metadata):
    if refusal is not None:
        raise Error("FAILED_PRECONDITION", refusal)
    if not isinstance(name, str) or not name:
        raise TypeError("the name of a function is needed, as str")
    limit = _dcf_watcher.reply_limit()
    size = len(data) if isinstance(data, (str, bytes)) else memoryview(data).nbytes
    if size > limit:
        raise Error("RESOURCE_EXHAUSTED", f"the input has {size} bytes, the limit is {limit}")
    micros = 0
    if timeout is not None:
        if not timeout > 0:
            raise ValueError("a timeout is more than 0 seconds")
        micros = max(1, min(int(timeout * 1e6), 1 << 62)) if timeout != float("inf") else 0
    pairs = tuple((key, value) for key, value in dict(metadata or {}).items())
    parent, watched = _parent()
    return name, data, micros, pairs, parent, watched


def _parent():
    """The request with the deadline that applies to the call, and the one with the cancel that ends the wait."""
    batch = _dcf_watcher.current_batch()
    if batch is not None and len(batch) > 1 and _dcf_context.current_request() is None:
        # Several callers wait for the batch: the latest of their deadlines applies, and no single cancel ends the wait.
        return max(batch, key=_patience), None
    request = _dcf_context.current_request()
    return request, request


def _patience(request):
    return not request.cancelled, float("inf") if request.deadline is None else request.deadline


def _reply(code, message, payload):
    if code:
        raise Error(code, message)
    return payload
