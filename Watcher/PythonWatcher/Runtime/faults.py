"""Puts the author's exceptions and wrong replies into words. Imported when the first one happens."""

import os
import sys
import traceback

from _dcf_errors import Cancelled, Error
from _dcf_loading import relative

# A gRPC status message is percent-encoded and must stay below 2 KiB.
_MESSAGE_BUDGET = 1500
_HEADLINE_BUDGET = 700
_TRACEBACK_BYTES_MAX = 128 << 10

_CANCELLED, _UNKNOWN = 1, 2

_OWN = ("<dcf>/", "<frozen importlib", "<frozen runpy")


class Fault:
    """An exception as others see it: `headline` (one line), `text` (the traceback)."""

    def __init__(self, error, folder):
        self._folder = folder
        frames = _frames(error)
        self.text = _format(error, frames)
        self.headline = "%s%s" % (_cut(_name(error), _HEADLINE_BUDGET), self._where(error, frames, "%s:%s in %s"))
        self.place = self._where(error, frames, "%s:%s")
        self.summary = "%s%s" % (_cut(_name(error), _HEADLINE_BUDGET), self.place)

    @property
    def message(self):
        """The headline, and as many of the traceback's last lines as a status message can carry."""
        lines = [line for line in self.text.splitlines() if line.startswith("  ")]
        left = _MESSAGE_BUDGET - _cost(self.headline)
        kept = []
        for line in reversed(lines):
            left -= _cost(line) + 3
            if left < 0:
                break
            kept.append(line)
        return "\n".join([self.headline] + kept[::-1])

    @property
    def traceback(self):
        data = self.text.encode("utf-8", "backslashreplace")
        if len(data) <= _TRACEBACK_BYTES_MAX:
            return data
        half = _TRACEBACK_BYTES_MAX // 2
        return data[:half] + b"\n  ... cut ...\n" + data[-half:]

    def _where(self, error, frames, form):
        """The innermost line that is the author's; in his file even when a library of his raised."""
        if isinstance(error, SyntaxError) and error.filename and self._is_own(error.filename):
            return " (%s:%s)" % (relative(error.filename, self._folder), error.lineno)
        own = None
        while frames is not None:
            code = frames.tb_frame.f_code
            if own is None or self._is_own(code.co_filename) or not self._is_own(own[0]):
                own = (code.co_filename, frames.tb_lineno, code.co_name)
            frames = frames.tb_next
        if own is None:
            return ""
        place = (relative(own[0], self._folder), own[1], own[2])
        return " (%s)" % (form % place[: form.count("%s")])

    def _is_own(self, path):
        return path.startswith(self._folder + "/") and "/site-packages/" not in path


def _frames(error):
    """The traceback without the runtime's own frames, and those of the event loop under them, at its beginning."""
    frames = error.__traceback__
    while frames is not None and _is_below(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _is_below(path):
    return path.startswith(_OWN) or "/asyncio/" in path


def _format(error, frames):
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except BaseException as other:
        return "%s (its traceback cannot be formatted: %s)\n" % (type(error).__name__, type(other).__name__)


def _name(error):
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = "%s.%s" % (kind.__module__, name)
    try:
        text = (error.msg if isinstance(error, SyntaxError) else None) or str(error)
    except BaseException:
        text = "<its text cannot be had>"
    return "%s: %s" % (name, text) if text else name


def _cost(text):
    """Bytes of the text once percent-encoded."""
    data = text.encode("utf-8", "backslashreplace")
    return sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in data)


def _cut(text, budget):
    text = text[:budget]
    if _cost(text) <= budget:
        return text
    while text and _cost(text) > budget - 3:
        text = text[: len(text) * 9 // 10]
    return text + "..."


def headline(error):
    """An exception in one short line."""
    return _cut(_name(error), _HEADLINE_BUDGET).split("\n")[0]


def describe_reply(reply, number=None):
    """What came from the handler, and what may come: text. `number` is that of a piece, from 1."""
    what, is_piece = ("a reply", False) if number is None else ("a piece", True)
    verb = "yielded" if is_piece else "returned"
    if isinstance(reply, str):
        return "the handler %s text that is not valid Unicode (lone surrogates); %s bytes instead" % (
            verb + (" as piece %d" % number if is_piece else ""),
            "yield" if is_piece else "return",
        )
    name = type(reply).__name__
    if reply is None:
        advice = "is a value missing?" if is_piece else "is a return missing?"
    elif isinstance(reply, (dict, list, tuple)):
        advice = "%s for JSON" % ("yield json.dumps(piece)" if is_piece else "return json.dumps(reply)")
    elif hasattr(reply, "__await__"):
        advice = "write async def __call__, or await it"
        reply.close() if hasattr(reply, "close") else None
    elif hasattr(reply, "__aiter__"):
        advice = "write async def __call__ for replies in asynchronous pieces"
    elif hasattr(reply, "__next__"):
        advice = "the replies of a batch cannot come in pieces"
        reply.close() if hasattr(reply, "close") else None
    elif _is_buffer(reply):
        advice = "its bytes are not in one row of memory; " + ("yield bytes(piece)" if is_piece else "return bytes(reply)")
    else:
        advice = "yield str(piece) or bytes" if is_piece else "return str(reply) or bytes"
    came = _article(name) + (" as piece %d" % number if is_piece else "")
    return "the handler %s %s; %s is str, bytes or another bytes-like object: %s" % (verb, came, what, advice)


def _article(name):
    if name == "NoneType":
        return "None"
    return ("an " if name[:1].lower() in "aeio" else "a ") + name


def _is_buffer(reply):
    try:
        return memoryview(reply).ndim > 0
    except Exception:
        return False


def place(error, folder):
    """Where in the author's code it was raised: " (handler.py:12)"."""
    return Fault(error, folder).place


class FaultReporter:
    """What the loop calls when a call went wrong; what it says is in the log too."""

    def __init__(self, folder, log):
        self._folder = folder
        self._log = log

    def describe_exception(self, error):
        """A status code, the message for the caller and the traceback; the log has it too."""
        if isinstance(error, Cancelled):
            return _CANCELLED, b"the caller has gone away", b""
        if isinstance(error, Error):
            self._log.write("%s%s\n" % (error, place(error, self._folder)))
            return error.number, _cut(error.message, _MESSAGE_BUDGET).encode("utf-8", "backslashreplace"), b""
        fault = self.log_exception(error)
        return _UNKNOWN, fault.message.encode("utf-8", "backslashreplace"), fault.traceback

    def log_exception(self, error):
        fault = Fault(error, self._folder)
        self._log.write(fault.text)
        self._log.flush()
        return fault

    def describe_reply(self, reply, number):
        message = describe_reply(reply, number)
        self._log.write(message + "\n")
        return message.encode("utf-8", "backslashreplace")

    def close(self, iterator):
        """Ends a generator that nobody wants more of."""
        close = getattr(iterator, "close", None)
        if close is None:
            return
        try:
            close()
        except BaseException as error:
            self.log_exception(error)
