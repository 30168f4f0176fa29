"""Standard output and standard error of a handler: whole lines, each marked with its request.

A line is written as `\\x1e<request id>\\x1f<line>\\n` while the handler works on a request, otherwise without a marker.
"""
# ruff: noqa: SIM105 - the runtime does not import contextlib: each import costs a replica time and memory.

import io
import os
import sys
from _thread import RLock
from posix import getpid, isatty, write
from select import select

import _dcf_watcher
from _dcf_context import inherited_request_id

# The log keeps 64 KiB of a line. With its marker and the note, a line of this length fits.
LINE_BYTES_MAX = (64 << 10) - 512
_CUT_NOTE = b" [cut: a log line holds 64 KiB]"

# A flush() writes an unfinished line only if it is longer than this.
_PARTIAL_BYTES_MAX = 4096

# Short lines that come together are written together, up to the size that a pipe takes in one piece.
_ATOMIC_BYTES = 4096

# Unfinished lines are kept for at most so many requests.
_UNFINISHED_MAX = 256


class UnfinishedLine:
    """The held bytes of an unfinished line, and of lines before it that are not written yet."""

    def __init__(self):
        self.parts = []
        self.size = 0
        self.is_cut = False


class LineWriter(io.BufferedIOBase):
    """The binary side: splits what is written into lines."""

    def __init__(self, descriptor, name):
        self._descriptor = descriptor
        self.name = name
        self.mode = "wb"
        self.keeps_apart = False
        self.own()
        self.forget()

    def forget(self):
        """Starts again without held bytes: after a fork, the lock and the held bytes are the parent's."""
        self._lock = RLock()
        # By request id. There is more than one only where the handler works on several requests at once.
        self._lines = {}

    def own(self):
        """Makes this process the function's own: other processes with this object are children of its handler."""
        self._process = getpid()

    @property
    def raw(self):
        return self

    def writable(self):
        return True

    def fileno(self):
        return self._descriptor

    def isatty(self):
        return isatty(self._descriptor)

    def close(self):
        """Does nothing: the function's log stays open as long as the function runs."""

    def write(self, data):
        if not isinstance(data, bytes):
            data = bytes(memoryview(data))
        if not data:
            return 0
        marker = inherited_request_id()
        with self._lock:
            line = self._lines.get(marker)
            if line is None:
                if self._lines and (not self.keeps_apart or len(self._lines) >= _UNFINISHED_MAX):
                    self._end_lines()
                line = self._lines[marker] = UnfinishedLine()
            end = data.rfind(b"\n")
            if end < 0:
                self._hold(line, data, marker)
            else:
                self._hold(line, data[:end], marker)
                self._write_lines(line, marker)
                if end + 1 < len(data):
                    self._hold(line, data[end + 1 :], marker)
            if line.parts or line.is_cut:
                _dcf_watcher.line_is_partial()
            else:
                del self._lines[marker]
        return len(data)

    def _hold(self, line, data, marker):
        line.parts.append(data)
        line.size += len(data)
        if line.size > LINE_BYTES_MAX:
            self._spill(line, marker)

    def _spill(self, line, marker):
        """Writes the finished lines of a long text, and cuts the unfinished line at the longest length of a line."""
        head, newline, last = b"".join(line.parts).rpartition(b"\n")
        if newline:
            line.parts = [head]
            self._write_lines(line, marker)
        line.parts = [last]
        line.size = len(last)
        if len(last) > LINE_BYTES_MAX:
            if not line.is_cut:
                self._emit([self._cut(last)], marker)
            line.is_cut = True
            line.parts = []
            line.size = 0

    def _write_lines(self, line, marker):
        """Writes the held bytes, which end at the end of a line."""
        lines = b"".join(line.parts).split(b"\n")
        line.parts = []
        line.size = 0
        if line.is_cut:
            # The rest of a line that was cut: its beginning is written already.
            line.is_cut = False
            del lines[0]
        self._emit([self._cut(each) if len(each) > LINE_BYTES_MAX else each for each in lines], marker)

    @staticmethod
    def _cut(line):
        return line[:LINE_BYTES_MAX] + _CUT_NOTE

    def _end_lines(self):
        for marker, line in list(self._lines.items()):
            if line.parts:
                self._write_lines(line, marker)
        self._lines.clear()

    def _emit(self, lines, marker):
        prefix = b"" if marker is None else b"\x1e" + marker.encode("utf-8", "replace") + b"\x1f"
        group = b""
        for line in lines:
            whole = prefix + line + b"\n"
            if group and len(group) + len(whole) > _ATOMIC_BYTES:
                self._put(group)
                group = b""
            group += whole
        self._put(group)

    def _put(self, data):
        while data:
            try:
                data = data[write(self._descriptor, data) :]
            except BlockingIOError:
                select([], [self._descriptor], [])
            except OSError:
                # The log has no reader any more, or the handler closed the descriptor. That must not fail a call.
                return

    def flush(self):
        marker = inherited_request_id()
        with self._lock:
            line = self._lines.get(marker)
            # In a child process that the handler forked, always: it may end at any time after this.
            if line is not None and (line.size > _PARTIAL_BYTES_MAX or (line.parts and getpid() != self._process)):
                self._write_lines(line, marker)
                del self._lines[marker]

    def flush_partial(self, marker=None):
        """Writes unfinished lines as whole lines: of one request, or all."""
        with self._lock:
            if marker is None:
                self._end_lines()
                return
            line = self._lines.pop(marker, None)
            if line is not None and line.parts:
                self._write_lines(line, marker)


class LogText(io.TextIOBase):
    """The text side: the type of sys.stdout and sys.stderr."""

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    line_buffering = True
    write_through = True
    mode = "w"

    def __init__(self, descriptor, name):
        self.buffer = LineWriter(descriptor, name)
        self.name = name

    def writable(self):
        return True

    def fileno(self):
        return self.buffer.fileno()

    def isatty(self):
        return self.buffer.isatty()

    def reconfigure(self, **options):
        """Does nothing, for code that expects a usual stream: a log is always UTF-8."""

    def close(self):
        """Does nothing: the stream stays open."""

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not " + type(text).__name__)
        self.buffer.write(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self):
        self.buffer.flush()


class LogStreams:
    """Both log streams of the process. They replace the interpreter's."""

    def __init__(self):
        # Code that holds the interpreter's own stream objects can go on using them.
        self._before = sys.stdout, sys.stderr
        self.output = LogText(1, "<stdout>")
        self.error = LogText(2, "<stderr>")
        sys.stdout = sys.__stdout__ = self.output
        sys.stderr = sys.__stderr__ = self.error
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self):
        self.output.buffer.forget()
        self.error.buffer.forget()

    def own(self):
        """Makes this process the function's own, after a template has forked it."""
        self.output.buffer.own()
        self.error.buffer.own()

    def keep_requests_apart(self):
        """Holds unfinished lines for each request: from now on the handler works on several requests at once."""
        self.output.buffer.keeps_apart = self.error.buffer.keeps_apart = True

    def watch_replaced(self):
        """Has the library flush the streams that the author put into sys.stdout and sys.stderr, whenever it is idle."""
        if self._replaced():
            _dcf_watcher.line_is_partial()

    def _replaced(self):
        found = getattr(sys, "stdout", None), getattr(sys, "stderr", None)
        return [each for each in found if each is not None and each is not self.output and each is not self.error]

    def flush_partial(self, request=None):
        """Writes unfinished lines as whole lines: of one request, or all."""
        marker = None if request is None else request.request_id
        if marker is None:
            self._flush_replaced()
        self.output.buffer.flush_partial(marker)
        self.error.buffer.flush_partial(marker)
        self.watch_replaced()

    def _flush_replaced(self):
        for stream in self._replaced():
            try:
                stream.flush()
            except BaseException:
                pass

    def flush(self):
        """Flushes everything: these streams, the interpreter's own, and the author's."""
        for stream in self._before:
            try:
                stream.flush()
            except Exception:
                pass
        self._flush_replaced()
        self.output.buffer.flush_partial()
        self.error.buffer.flush_partial()
