"""Replies as bytes, where no gateway takes them: one call alone, and the warm-up."""

from _dcf_faults import describe_reply


class WrongReply(Exception):
    """A reply that is neither text nor bytes. Its text says what came and what is allowed."""


def data(reply, number=None):
    """The bytes of a reply, or of a piece with its number."""
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
    """Calls a handler and gives `emit` its reply, or one piece after another."""
    reply = handler(argument)
    if not hasattr(type(reply), "__next__"):
        emit(data(reply))
        return
    for number, piece in enumerate(reply, 1):
        emit(data(piece, number))


async def drive_async(handler, argument, emit):
    """The same for a handler that is a coroutine, or an asynchronous generator."""
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
