"""Converts replies to bytes where they are not sent to a gateway: in `--once`, in the warm-up, and in joined pieces."""

from _dcf_faults import describe_reply


class WrongReply(Exception):
    """A reply that is neither text nor bytes. The message says what the handler returned and what is allowed."""


def data(reply, number=None):
    """The bytes of a reply, or of the piece with that number; raises WrongReply."""
    try:
        if isinstance(reply, str):
            return reply.encode()
        view = memoryview(reply)
        if view.ndim > 0 and view.c_contiguous:
            return view.cast("B") if view.nbytes else b""
    except (TypeError, UnicodeEncodeError):
        pass
    raise WrongReply(describe_reply(reply, number))


def drive(handler, argument, emit):
    """Calls a handler, and calls `emit` with the bytes of its reply, or of one piece after another."""
    reply = handler(argument)
    if not hasattr(type(reply), "__next__"):
        emit(data(reply))
        return
    for number, piece in enumerate(reply, 1):
        emit(data(piece, number))


async def drive_async(handler, argument, emit):
    """Does what `drive` does for a handler that is a coroutine function or an asynchronous generator function."""
    reply = handler(argument)
    if hasattr(type(reply), "__await__"):
        reply = await reply
    if hasattr(type(reply), "__aiter__"):
        number = 0
        async for piece in reply:
            number += 1
            emit(data(piece, number))
    else:
        drive(lambda _: reply, None, emit)
