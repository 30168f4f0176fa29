"""Processes as /proc shows them. Nothing here ends a process that it did not get by its id."""
import contextlib
import ctypes
import os
import pathlib
import signal

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Makes orphaned descendants this process's children, so that none can hide when their parent is killed."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def _stat(pid):
    try:
        rest = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return rest[0], int(rest[1])


def real(who):
    """The process id on this machine of a process that calls itself `PID@NAMESPACE`, as functions/ do."""
    pid, namespace = who.split("@")
    if int(namespace) == os.stat("/proc/self/ns/pid").st_ino:
        return int(pid)
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.stat(f"/proc/{entry}/ns/pid").st_ino == int(namespace):
                status = pathlib.Path(f"/proc/{entry}/status").read_text()
                if status.split("NSpid:", 1)[1].split("\n", 1)[0].split()[-1] == pid:
                    return int(entry)
        except OSError:
            pass
    raise AssertionError(f"there is no process {who}")


def exists(pid):
    """Whether the process runs; a zombie does not."""
    found = _stat(pid)
    return found is not None and found[0] not in "ZX"


def descendants(pid):
    """The ids of all running processes below `pid`."""
    below = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (found := _stat(int(entry))) and found[0] not in "ZX":
            below.setdefault(found[1], set()).add(int(entry))
    seen, todo = set(), [pid]
    while todo:
        for child in below.get(todo.pop(), ()):
            if child not in seen:
                seen.add(child)
                todo.append(child)
    return seen


def children(pid):
    """The ids of the running processes that are `pid`'s own children."""
    found = [(int(entry), _stat(int(entry))) for entry in os.listdir("/proc") if entry.isdigit()]
    return [child for child, seen in found if seen and seen[0] not in "ZX" and seen[1] == pid]


def command(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def descriptors(pid):
    """What each open descriptor of a process is, by number."""
    folder, found = f"/proc/{pid}/fd", {}
    for entry in os.listdir(folder):
        with contextlib.suppress(OSError):
            found[int(entry)] = os.readlink(f"{folder}/{entry}")
    return found


def threads(pid):
    """The names of a process's threads."""
    names = []
    for entry in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            names.append(pathlib.Path(f"/proc/{pid}/task/{entry}/comm").read_text().strip())
    return sorted(names)


def memory(pid, field="VmRSS"):
    """A figure of /proc/PID/status in bytes."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def kill(pid, sign=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)
