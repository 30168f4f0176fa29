"""The author's files, as tracebacks name and quote them."""

import linecache
from posix import O_CLOEXEC, O_RDONLY, close, fstat
from posix import open as open_file
from posix import read

# A file that is larger is not quoted from.
_BYTES_MAX = 4 << 20

# Path -> lines. They outlast the files, and the descriptors that reading them would need.
_lines = {}


def relative(path, folder):
    """The path below the folder, or the whole path when it is elsewhere."""
    return path[len(folder) + 1 :] if path.startswith(folder + "/") else path


def keep(path):
    """Has the file's lines at hand for tracebacks, Python's own too."""
    if path in _lines:
        return
    try:
        lines = [line + "\n" for line in _read(path).replace("\r\n", "\n").split("\n")]
    except (OSError, ValueError):
        return
    _lines[path] = lines
    # Without a time of change it is never looked for again.
    linecache.cache[path] = (sum(map(len, lines)), None, lines, path)


def kept_line(path, number):
    """A line of a file that was kept, without its indent; empty for others."""
    lines = _lines.get(path, ())
    return lines[number - 1].strip() if isinstance(number, int) and 0 < number <= len(lines) else ""


def _read(path):
    descriptor = open_file(path, O_RDONLY | O_CLOEXEC)
    try:
        if fstat(descriptor).st_size > _BYTES_MAX:
            raise ValueError
        parts = []
        while True:
            part = read(descriptor, 1 << 20)
            if not part:
                return b"".join(parts).decode("utf-8", "replace")
            parts.append(part)
    finally:
        close(descriptor)
