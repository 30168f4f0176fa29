"""Puts the author's exceptions and wrong replies into words.

All that this needs is at hand before the author's code begins: at the moment of a fault nothing may be had any more, no
descriptor, no memory, no module.
"""

import sys
from traceback import format_exception

from _dcf_errors import Cancelled, Error
from _dcf_importing import lent, load
from _dcf_sources import kept_line, relative

# A gRPC status message is percent-encoded and must stay below 2 KiB.
_MESSAGE_BUDGET = 1500
_HEADLINE_BUDGET = 700
_TRACEBACK_BYTES_MAX = 128 << 10

# Of a traceback that Python's own words cannot be had for: at its beginning and at its end, of a chain, of a group.
_FRAMES_MAX = 50
_CHAIN_MAX = 10
_MEMBERS_MAX = 15

# What is there when all the memory is taken.
_RESERVE_BYTES = 2 << 20

_CANCELLED, _UNKNOWN = 1, 2
_UNKNOWABLE = "the handler raised an exception that cannot be described"

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"

_Group = __builtins__.get("BaseExceptionGroup")

_OWN = ("<dcf>/", "<frozen importlib", "<frozen runpy")


# What `traceback` imports only when it formats.
_NEEDED = () if sys.version_info < (3, 11) else ("ast", "unicodedata")
if sys.version_info >= (3, 13):
    _NEEDED += ("os", "sys", "tokenize", "_suggestions")

_is_prepared = False


def prepare():
    """Loads what a traceback looks its best with: after the start, which it would hold up."""
    global _is_prepared
    if _is_prepared:
        return
    _is_prepared = True
    for name in _NEEDED:
        try:
            load(name)
        except Exception:
            # No descriptor is left, or no memory.
            pass


class Fault:
    """An exception as others see it: `headline` (one line), `text` (the traceback).

    Never raises, whatever the exception is made of: what cannot be had is left out.
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
            self.place = self._where(error, frames, "%s:%s")
            self.headline = name + self._where(error, frames, "%s:%s in %s")
            self.summary = name + self.place
        except BaseException:
            # What there is has been kept.
            pass

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
        if issubclass(type(error), SyntaxError):
            file, line = _field(SyntaxError, error, "filename"), _field(SyntaxError, error, "lineno")
            if type(file) is str and type(line) is int and self._is_own(file):
                return " (%s:%s)" % (relative(file, self._folder), line)
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


def _field(kind, error, name):
    """An attribute as Python itself has it, whatever the author's class makes of its name."""
    try:
        return vars(kind)[name].__get__(error, type(error))
    except BaseException:
        return None


def _frames(error):
    """The traceback without the runtime's own frames, and those of the event loop under them, at its beginning."""
    frames = _field(BaseException, error, "__traceback__")
    while frames is not None and _is_below(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _is_below(path):
    return path.startswith(_OWN) or "/asyncio/" in path


def _format(error, frames):
    """As Python prints it; where that cannot be done, in plainer words."""
    try:
        prepare()
        with lent(_NEEDED):
            lines = format_exception(type(error), error, frames)
        text = str.join("", lines)
        # One that was replaced may say anything.
        if _plain(text).strip():
            return _shortened(text)
    except BaseException:
        # What the frames hold may be all the memory that there is.
        _release(error, frames)
    return _shortened("".join(_plainly(error, frames, set(), 0)))


def _shortened(text):
    if len(text) <= _TRACEBACK_BYTES_MAX:
        return text
    half = _TRACEBACK_BYTES_MAX // 2
    return text[:half] + "\n  ... cut ...\n" + text[-half:]


def _release(error, frames):
    """Lets go of what the frames of the handler hold."""
    if not issubclass(type(error), MemoryError):
        return
    while frames is not None:
        try:
            frames.tb_frame.clear()
        except RuntimeError:
            # It runs.
            pass
        frames = frames.tb_next


def _plainly(error, frames, seen, depth):
    """The lines of a traceback with nothing but what is in memory."""
    seen.add(id(error))
    cause, context = _field(BaseException, error, "__cause__"), _field(BaseException, error, "__context__")
    if _field(BaseException, error, "__suppress_context__"):
        context = None
    earlier, words = (cause, _CAUSE) if cause is not None else (context, _CONTEXT)
    lines = []
    if earlier is not None and id(earlier) not in seen and depth < _CHAIN_MAX:
        lines += _plainly(earlier, _field(BaseException, earlier, "__traceback__"), seen, depth + 1) + [words]
    if frames is not None:
        lines.append("Traceback (most recent call last):\n")
        lines += _frame_lines(frames)
    lines.append(_name(error) + "\n")
    lines += [_plain(note) + "\n" for note in _notes(error)]
    members = _field(_Group, error, "exceptions") if _Group is not None and issubclass(type(error), _Group) else None
    for number, member in enumerate(members or (), 1):
        if number > _MEMBERS_MAX or depth >= _CHAIN_MAX:
            lines.append("  and %d more exceptions\n" % (len(members) - number + 1))
            break
        if id(member) in seen:
            continue
        lines.append("  ---------------- %d ----------------\n" % number)
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
                lines.append("  [%d more frames]\n" % (len(found) - 2 * _FRAMES_MAX))
            continue
        lines.append('  File "%s", line %s, in %s\n' % (file, line, name))
        text = kept_line(file, line)
        if text:
            lines.append("    %s\n" % text)
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
            name = "%s.%s" % (module, name)
    except BaseException:
        name = "exception"
    try:
        text = _field(SyntaxError, error, "msg") if issubclass(kind, SyntaxError) else None
        text = _plain(text if text and issubclass(type(text), str) else str(error))
    except BaseException:
        text = "<its text cannot be had>"
    return "%s: %s" % (name, text) if text else name


def _plain(text):
    """The same as a str, where it is of a class of the author's."""
    return text if type(text) is str else str.__add__("", text)


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
        self._reserve = None
        self._keep_reserve()

    def describe_exception(self, error):
        """A status code, the message for the caller and the traceback; the log has it too."""
        kind = type(error)
        if issubclass(kind, Cancelled):
            return _CANCELLED, b"the caller has gone away", b""
        if issubclass(kind, MemoryError):
            self._reserve = None
        try:
            if issubclass(kind, Error):
                described = self._describe_status(error)
                if described is not None:
                    return described
            fault = self.log_exception(error)
            return _UNKNOWN, fault.message.encode("utf-8", "backslashreplace"), fault.traceback
        finally:
            self._keep_reserve()

    def _describe_status(self, error):
        """One of dcf.Error; None where the author's class has not made it whole."""
        try:
            number, message = error.number, _cut(_plain(error.message), _MESSAGE_BUDGET)
            line = "%s%s\n" % (_plain(str(error)), place(error, self._folder))
            if type(number) is not int or not 0 < number < 17:
                return None
            message = message.encode("utf-8", "backslashreplace")
        except BaseException:
            return None
        self._log.write(line)
        return number, message, b""

    def _keep_reserve(self):
        if self._reserve is None:
            try:
                # Bytes that nobody writes to are address space, and no page of memory.
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
            message = "the handler returned an object that cannot be described; a reply is str, bytes or another bytes-like object"
        self._log.write(message + "\n")
        return message.encode("utf-8", "backslashreplace")

    def close(self, iterator):
        """Ends a generator that nobody wants more of."""
        try:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            self.log_exception(error)
