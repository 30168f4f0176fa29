"""Which request the running code works on."""

from contextvars import ContextVar

# A function that returns the request, or None. asyncio's tasks and asyncio.to_thread inherit it. Threads that the
# handler starts do not.
current = ContextVar("dcf_request", default=None)

# The function for threads that inherit nothing; set where the replica works on one call at a time.
only = None


def current_request():
    """The request that the handler works on; None when there is none, or when it cannot be known."""
    getter = current.get() or only
    return None if getter is None else getter()


def current_request_id():
    """The id of the request that the handler works on, or None."""
    request = current_request()
    return None if request is None else request.request_id


def inherited_request_id():
    """The id of the request for a log line, or None: a thread that the handler started may work for no request."""
    getter = current.get()
    request = None if getter is None else getter()
    return None if request is None else request.request_id
