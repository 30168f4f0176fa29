"""Signals as the author's code finds them."""

from _signal import SIGINT, default_int_handler, signal
from posix import getpid


def ignore_interrupts():
    """This process goes on after a SIGINT, which is not how it is stopped. Those that it starts or forks do as they always do."""
    process = getpid()

    def interrupt(number, frame):
        if getpid() != process:
            default_int_handler(number, frame)

    signal(SIGINT, interrupt)
