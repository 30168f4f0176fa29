"""Standard output and standard error of a handler: whole lines, marked with the request that they belong to.

A line is written as `\\x1e<request id>\\x1f<line>\\n` while a request is worked on, plainly otherwise.
"""

import io
import os
import sys
from _thread import RLock
from contextvars import ContextVar

import _dcf_watcher

# With the marker and the note a line stays within the 64 KiB that the log keeps of one.
LINE_BYTES_MAX = (64 << 10) - 512
_CUT_NOTE = b" [cut: a log line holds 64 KiB]"

# A flush() writes a line that has no end yet only from this length on.
_PARTIAL_BYTES_MAX = 4096

# Short lines that come together are written together, as long as the write cannot be torn.
_ATOMIC_BYTES = 4096

# Says which request the running code belongs to: inherited by asyncio's tasks and by asyncio.to_thread, not by
# threads of the handler's own.
request_id = ContextVar("dcf_request_id", default=None)


class LineWriter(io.BufferedIOBase):
    """The binary side: splits what is written into lines."""

    def __init__(self, descriptor, name):
        self._descriptor = descriptor
        self.name = name
        self.mode = "wb"
        self.forget()

    def forget(self):
        """A new beginning: after a fork the lock and the waiting bytes are the parent's."""
        self._lock = RLock()
        self._pending = []
        self._pending_bytes = 0
        self._pending_id = None
        self._is_cut = False

    @property
    def raw(self):
        return self

    def writable(self):
        return True

    def fileno(self):
        return self._descriptor

    def isatty(self):
        return os.isatty(self._descriptor)

    def close(self):
        """Stays open: the function's log does not end before the function."""

    def write(self, data):
        if not isinstance(data, bytes):
            data = bytes(memoryview(data))
        current = request_id.get()
        marker = None if current is None else current()
        with self._lock:
            if self._pending and marker != self._pending_id:
                self._end_line()
            end = data.rfind(b"\n")
            if end < 0:
                self._hold(data, marker)
            else:
                self._hold(data[:end], marker)
                self._write_lines(marker)
                if end + 1 < len(data):
                    self._hold(data[end + 1 :], marker)
            if self._pending:
                _dcf_watcher.line_is_partial()
        return len(data)

    def _hold(self, data, marker):
        self._pending.append(data)
        self._pending_bytes += len(data)
        self._pending_id = marker
        if self._pending_bytes > LINE_BYTES_MAX:
            self._spill(marker)

    def _spill(self, marker):
        """Writes the finished lines of a long text; of the unfinished one no more than a line may have is kept."""
        head, newline, last = b"".join(self._pending).rpartition(b"\n")
        if newline:
            self._pending = [head]
            self._write_lines(marker)
        self._pending = [last]
        self._pending_bytes = len(last)
        if len(last) > LINE_BYTES_MAX:
            if not self._is_cut:
                self._emit([self._cut(last)], marker)
            self._is_cut = True
            self._pending = []
            self._pending_bytes = 0

    def _write_lines(self, marker):
        """The held bytes end where a line does."""
        lines = b"".join(self._pending).split(b"\n")
        self._pending = []
        self._pending_bytes = 0
        if self._is_cut:
            # What is left of a line whose beginning was written.
            self._is_cut = False
            del lines[0]
        self._emit([self._cut(line) if len(line) > LINE_BYTES_MAX else line for line in lines], marker)

    @staticmethod
    def _cut(line):
        return line[:LINE_BYTES_MAX] + _CUT_NOTE

    def _end_line(self):
        self._write_lines(self._pending_id)

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
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                from select import select

                select([], [self._descriptor], [])
            except OSError:
                # Nobody reads the log any more, or the handler closed the descriptor: not a reason to fail a call.
                return

    def flush(self):
        with self._lock:
            if self._pending_bytes > _PARTIAL_BYTES_MAX:
                self._end_line()

    def flush_partial(self):
        """Ends a line that has no end yet."""
        with self._lock:
            if self._pending:
                self._end_line()


class LogText(io.TextIOBase):
    """The text side: what sys.stdout and sys.stderr are."""

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
        """Accepted for what expects a usual stream; a log is always UTF-8."""

    def close(self):
        """Stays open."""

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not " + type(text).__name__)
        self.buffer.write(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self):
        self.buffer.flush()


class LogStreams:
    """Both streams of the process, in place of the interpreter's."""

    def __init__(self):
        # Whoever still holds the interpreter's own objects may go on using them.
        self._before = sys.stdout, sys.stderr
        self.output = LogText(1, "<stdout>")
        self.error = LogText(2, "<stderr>")
        sys.stdout = sys.__stdout__ = self.output
        sys.stderr = sys.__stderr__ = self.error
        request_id.set(_dcf_watcher.current_request_id)
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self):
        self.output.buffer.forget()
        self.error.buffer.forget()

    def flush_partial(self):
        self.output.buffer.flush_partial()
        self.error.buffer.flush_partial()

    def flush(self):
        """All that was written, by the interpreter's own streams too."""
        for stream in self._before:
            try:
                stream.flush()
            except Exception:
                pass
        self.flush_partial()
