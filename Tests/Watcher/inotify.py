"""Tells when other processes read a file."""
import ctypes
import os
import select

_CLOSE_NOWRITE = 0x10


class Readers:
    """Watches a file within a `with`: `wait` returns when a process has closed the file after reading it."""

    def __init__(self, path):
        self._path = path

    def __enter__(self):
        library = ctypes.CDLL(None, use_errno=True)
        self._descriptor = library.inotify_init1(os.O_CLOEXEC)
        watch = library.inotify_add_watch(self._descriptor, os.fsencode(self._path), _CLOSE_NOWRITE)
        if watch < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        return self

    def __exit__(self, *_):
        os.close(self._descriptor)

    def wait(self, seconds):
        assert select.select([self._descriptor], [], [], seconds)[0], f"{self._path} was not read"
