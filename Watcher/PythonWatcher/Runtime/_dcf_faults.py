"""Describes exceptions and wrong replies of the author's code as text.

Everything that this needs is loaded before the author's code begins: at the time of a fault there may be no descriptor,
no memory and no module left.
"""
# ruff: noqa: SIM105 - the runtime does not import contextlib: each import costs a replica time and memory.

import sys
from traceback import format_exception

from _dcf_errors import CALLER_GONE, CANCELLED, CODES, UNKNOWN, Cancelled, Error
from _dcf_importing import lent, load
from _dcf_sources import kept_line, relative

# A gRPC status message is percent-encoded and must stay below 2 KiB.
_MESSAGE_BUDGET = 1500
_HEADLINE_BUDGET = 700
_TRACEBACK_BYTES_MAX = 128 << 10

# Limits of a traceback that Python itself cannot format: frames at its beginning and as many at its end, exceptions of
# a chain, and members of a group.
_FRAMES_MAX = 50
_CHAIN_MAX = 10
_MEMBERS_MAX = 15

# Memory that is set free when there is no other left.
_RESERVE_BYTES = 2 << 20

_UNKNOWABLE = "the handler raised an exception that cannot be described"

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"

_Group = __builtins__.get("BaseExceptionGroup")

# The files of the runtime, and of the imports below the author's code.
_OWN = ("<dcf>/", "<frozen importlib", "<frozen runpy")


# What `traceback` imports only when it formats.
_NEEDED = () if sys.version_info < (3, 11) else ("ast", "unicodedata")
if sys.version_info >= (3, 13):
    _NEEDED += ("os", "sys", "tokenize", "_suggestions")

_is_prepared = False


def prepare():
    """Loads the modules that formatting a traceback needs: after the start, so that they do not delay it."""
    global _is_prepared
    if _is_prepared:
        return
    _is_prepared = True
    for name in _NEEDED:
        try:
            load(name)
        except Exception:
            # There is no descriptor or no memory left.
            pass


class Fault:
    """An exception as text: `headline` (one line, with the function), `summary` (without it), `text` (the traceback).

    Never raises, whatever the exception contains: a part that cannot be had is left out.
    """

    def __init__(self, error, folder):
        self._folder = folder
        self.text = self.headline = self.summary = _UNKNOWABLE
        self.place = ""
        try:
            frames = _frames(error)
            name = _cut(_name(error), _HEADLINE_BUDGET)
            self.headline = self.summary = name
            self.text = name + "\n"
            self.text = _format(error, frames)
            self.place = self._where(error, frames)
            self.headline = name + self._where(error, frames, names_function=True)
            self.summary = name + self.place
        except BaseException:
            # Keep what was found so far.
            pass

    @property
    def message(self):
        """The headline, and as many of the traceback's last lines as fit in a status message."""
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

    def _where(self, error, frames, names_function=False):
        """The innermost line in the author's files, even when a library below it raised; " (handler.py:12)"."""
        if issubclass(type(error), SyntaxError):
            file, line = _field(SyntaxError, error, "filename"), _field(SyntaxError, error, "lineno")
            if type(file) is str and type(line) is int and self._is_own(file):
                return f" ({relative(file, self._folder)}:{line})"
        own = None
        while frames is not None:
            code = frames.tb_frame.f_code
            if own is None or self._is_own(code.co_filename) or not self._is_own(own[0]):
                own = (code.co_filename, frames.tb_lineno, code.co_name)
            frames = frames.tb_next
        if own is None:
            return ""
        function = f" in {own[2]}" if names_function else ""
        return f" ({relative(own[0], self._folder)}:{own[1]}{function})"

    def _is_own(self, path):
        return path.startswith(self._folder + "/") and "/site-packages/" not in path


def _field(kind, error, name):
    """Reads a built-in attribute of an exception, even where the author's class overrides its name."""
    try:
        return vars(kind)[name].__get__(error, type(error))
    except BaseException:
        return None


def _frames(error):
    """The traceback without the frames at its beginning that belong to the runtime and to the event loop."""
    frames = _field(BaseException, error, "__traceback__")
    while frames is not None and _is_below(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _is_below(path):
    return path.startswith(_OWN) or "/asyncio/" in path


def _format(error, frames):
    """The traceback as Python prints it; a simpler form where that fails."""
    try:
        prepare()
        with lent(_NEEDED):
            lines = format_exception(type(error), error, frames)
        text = str.join("", lines)
        # The author's code may have replaced parts of `traceback`: an empty text is not taken.
        if _plain(text).strip():
            return _shortened(text)
    except BaseException:
        # The objects in the frames may take all the memory that there is.
        _release(error, frames)
    return _shortened("".join(_plainly(error, frames, set(), 0)))


def _shortened(text):
    if len(text) <= _TRACEBACK_BYTES_MAX:
        return text
    half = _TRACEBACK_BYTES_MAX // 2
    return text[:half] + "\n  ... cut ...\n" + text[-half:]


def _release(error, frames):
    """After a MemoryError: clears the local variables of the handler's frames."""
    if not issubclass(type(error), MemoryError):
        return
    while frames is not None:
        try:
            frames.tb_frame.clear()
        except RuntimeError:
            # The frame is still running.
            pass
        frames = frames.tb_next


def _plainly(error, frames, seen, depth):
    """The lines of a traceback, made only from what is in memory already."""
    seen.add(id(error))
    cause, context = _field(BaseException, error, "__cause__"), _field(BaseException, error, "__context__")
    if _field(BaseException, error, "__suppress_context__"):
        context = None
    earlier, link = (cause, _CAUSE) if cause is not None else (context, _CONTEXT)
    lines = []
    if earlier is not None and id(earlier) not in seen and depth < _CHAIN_MAX:
        lines += _plainly(earlier, _field(BaseException, earlier, "__traceback__"), seen, depth + 1) + [link]
    if frames is not None:
        lines.append("Traceback (most recent call last):\n")
        lines += _frame_lines(frames)
    lines.append(_name(error) + "\n")
    lines += [_plain(note) + "\n" for note in _notes(error)]
    members = _field(_Group, error, "exceptions") if _Group is not None and issubclass(type(error), _Group) else None
    for number, member in enumerate(members or (), 1):
        if number > _MEMBERS_MAX or depth >= _CHAIN_MAX:
            lines.append(f"  and {len(members) - number + 1} more exceptions\n")
            break
        if id(member) in seen:
            continue
        lines.append(f"  ---------------- {number} ----------------\n")
        inner = _plainly(member, _field(BaseException, member, "__traceback__"), seen, depth + 1)
        lines += ["  " + line + "\n" for line in "".join(inner).splitlines()]
    return lines


def _frame_lines(frames):
    found = []
    while frames is not None:
        code = frames.tb_frame.f_code
        found.append((code.co_filename, frames.tb_lineno, code.co_name))
        frames = frames.tb_next
    lines = []
    for number, (file, line, name) in enumerate(found):
        if _FRAMES_MAX <= number < len(found) - _FRAMES_MAX:
            if number == _FRAMES_MAX:
                lines.append(f"  [{len(found) - 2 * _FRAMES_MAX} more frames]\n")
            continue
        lines.append(f'  File "{file}", line {line}, in {name}\n')
        text = kept_line(file, line)
        if text:
            lines.append(f"    {text}\n")
    return lines


def _notes(error):
    try:
        notes = object.__getattribute__(error, "__dict__").get("__notes__")
        return [note for note in notes if issubclass(type(note), str)] if type(notes) in (list, tuple) else []
    except BaseException:
        return []


def _name(error):
    kind = type(error)
    try:
        name = _plain(type.__getattribute__(kind, "__qualname__"))
        module = type.__getattribute__(kind, "__module__")
        if issubclass(type(module), str) and module not in ("builtins", "__main__"):
            name = f"{module}.{name}"
    except BaseException:
        name = "exception"
    try:
        text = _field(SyntaxError, error, "msg") if issubclass(kind, SyntaxError) else None
        text = _plain(text if text and issubclass(type(text), str) else str(error))
    except BaseException:
        text = "<its text cannot be had>"
    return f"{name}: {text}" if text else name


def _plain(text):
    """Makes a plain str of an instance of a subclass that the author wrote."""
    return text if type(text) is str else str.__add__("", text)


def _cost(text):
    """The length of the text in bytes when it is percent-encoded."""
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
    """Says what the handler returned and what it may return. `number` is that of a piece, from 1; None for a reply."""
    what, is_piece = ("a reply", False) if number is None else ("a piece", True)
    verb = "yielded" if is_piece else "returned"
    if isinstance(reply, str):
        came = f"{verb} text as piece {number}" if is_piece else f"{verb} text"
        instead = "yield" if is_piece else "return"
        return f"the handler {came} that is not valid Unicode (lone surrogates); {instead} bytes instead"
    name = type(reply).__name__
    if reply is None:
        advice = "is a value missing?" if is_piece else "is a return missing?"
    elif isinstance(reply, (dict, list, tuple)):
        advice = ("yield json.dumps(piece)" if is_piece else "return json.dumps(reply)") + " for JSON"
    elif hasattr(reply, "__await__"):
        advice = "write async def __call__, or await it"
        reply.close() if hasattr(reply, "close") else None
    elif hasattr(reply, "__aiter__"):
        advice = "write async def __call__ for replies in asynchronous pieces"
    elif hasattr(reply, "__next__"):
        advice = "the replies of a batch cannot come in pieces"
        reply.close() if hasattr(reply, "close") else None
    elif _is_buffer(reply):
        advice = "its bytes are not contiguous in memory; "
        advice += "yield bytes(piece)" if is_piece else "return bytes(reply)"
    else:
        advice = "yield str(piece) or bytes" if is_piece else "return str(reply) or bytes"
    came = _article(name) + (f" as piece {number}" if is_piece else "")
    return f"the handler {verb} {came}; {what} is str, bytes or another bytes-like object: {advice}"


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
    """Where in the author's code an exception was raised: " (handler.py:12)"."""
    return Fault(error, folder).place


class FaultReporter:
    """Describes faults to callers, and writes them to the log."""

    def __init__(self, folder, log):
        self._folder = folder
        self._log = log
        self._reserve = None
        self._keep_reserve()

    def describe_exception(self, error):
        """Returns a status code, the message for the caller and the traceback; logs the traceback."""
        kind = type(error)
        if issubclass(kind, Cancelled):
            return CANCELLED, CALLER_GONE.encode(), b""
        if issubclass(kind, MemoryError):
            self._reserve = None
        try:
            if issubclass(kind, Error):
                described = self._describe_status(error)
                if described is not None:
                    return described
            fault = self.log_exception(error)
            return UNKNOWN, fault.message.encode("utf-8", "backslashreplace"), fault.traceback
        finally:
            self._keep_reserve()

    def _describe_status(self, error):
        """Describes a dcf.Error; None where a subclass of the author's left its fields unset."""
        try:
            number, message = error.number, _cut(_plain(error.message), _MESSAGE_BUDGET)
            line = f"{_plain(str(error))}{place(error, self._folder)}\n"
            if type(number) is not int or not 0 < number < len(CODES):
                return None
            message = message.encode("utf-8", "backslashreplace")
        except BaseException:
            return None
        self._log.write(line)
        return number, message, b""

    def _keep_reserve(self):
        if self._reserve is None:
            try:
                # Memory that is never written to takes address space only.
                self._reserve = bytes(_RESERVE_BYTES)
            except MemoryError:
                pass

    def log_exception(self, error):
        fault = Fault(error, self._folder)
        try:
            self._log.write(fault.text)
            self._log.flush()
        except MemoryError:
            pass
        return fault

    def describe_reply(self, reply, number):
        try:
            message = describe_reply(reply, number)
        except BaseException:
            message = (
                "the handler returned an object that cannot be described; "
                "a reply is str, bytes or another bytes-like object"
            )
        self._log.write(message + "\n")
        return message.encode("utf-8", "backslashreplace")

    def close(self, iterator):
        """Closes a generator before its end."""
        try:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            self.log_exception(error)
