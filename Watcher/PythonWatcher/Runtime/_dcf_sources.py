"""The author's files, as tracebacks name and quote them."""

import linecache
from posix import O_CLOEXEC, O_RDONLY, close, fstat, read
from posix import open as open_file

# Tracebacks do not quote from larger files.
_BYTES_MAX = 4 << 20

# Path -> lines. Kept in memory because a file may be gone, or no descriptor left to read it, when a fault is described.
_lines = {}


def relative(path, folder):
    """The path below the folder, or the whole path when the file is elsewhere."""
    return path[len(folder) + 1 :] if path.startswith(folder + "/") else path


def keep(path):
    """Keeps the file's lines for tracebacks, those that Python prints too."""
    if path in _lines:
        return
    try:
        lines = [line + "\n" for line in _read(path).replace("\r\n", "\n").split("\n")]
    except (OSError, ValueError):
        return
    _lines[path] = lines
    # `linecache` never checks an entry without a modification time against the file.
    linecache.cache[path] = (sum(map(len, lines)), None, lines, path)


def kept_line(path, number):
    """A line of a kept file, without its indent; empty for other files."""
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
