"""Which request the running code works on."""

from contextvars import ContextVar

# A function that returns the request, or None. Inherited by asyncio's tasks and by asyncio.to_thread, not by threads of
# the handler's own.
current = ContextVar("dcf_request", default=None)

# The same for threads that inherit nothing, where only one call is worked on at a time.
only = None


def current_request():
    """The request that the handler works on; None when there is none, or no telling which."""
    getter = current.get() or only
    return None if getter is None else getter()


def current_request_id():
    """Its id, or None."""
    request = current_request()
    return None if request is None else request.request_id


def inherited_request_id():
    """The same for the lines of a log: a thread of the handler's own may work for nobody."""
    getter = current.get()
    request = None if getter is None else getter()
    return None if request is None else request.request_id
