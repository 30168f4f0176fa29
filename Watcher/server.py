"""Starts the watcher beside this file, with the interpreter that runs this file.

For images with the command `python3 server.py`, as in the first guides of DCF. Every Python can parse this file, so
that the watcher itself can say what is wrong with an old one.
"""
# ruff: noqa: UP031 - Python before 3.6 has no f-strings.

import errno
import os
import platform
import sys


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    watcher = os.path.join(folder, "dcf-watcher")
    os.environ.setdefault("DCF_CONTAINER", "1")
    os.environ.setdefault("HANDLER_DIR", folder)
    try:
        os.execv(watcher, [watcher, "--python", sys.executable] + sys.argv[1:])
    except OSError as error:
        if error.errno == errno.ENOEXEC:
            reason = "it is for another processor than this one (%s)" % platform.machine()
        elif error.errno == errno.ENOENT:
            reason = "it is not there; copy the whole folder /dcf/watcher of the watcher's image"
        else:
            reason = error.strerror
        sys.exit("dcf-watcher: %s cannot be started: %s" % (watcher, reason))


main()
