"""The signal handlers that the author's code finds."""

from _signal import SIGINT, default_int_handler, signal
from posix import getpid


def ignore_interrupts():
    """Makes this process, but not its children, go on after a SIGINT: the gateway stops a replica in other ways."""
    process = getpid()

    def interrupt(number, frame):
        if getpid() != process:
            default_int_handler(number, frame)

    signal(SIGINT, interrupt)
