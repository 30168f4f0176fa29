"""Gets stuck in every way there is; the input says which. Else it answers with its process id."""
import ctypes
import itertools
import os
import time


def who():
    """Its process id, and which processes that counts among."""
    return f"{os.getpid()}@{os.stat('/proc/self/ns/pid').st_ino}"


class Handler:
    def __call__(self, req):
        word = req.input.decode()
        return getattr(self, word)() if word else who()

    def sleeps_for_ever(self):
        time.sleep(1e6)

    def spins_for_ever(self):
        while True:
            pass

    def holds_the_gil_in_a_system_call(self):
        # PyDLL calls without letting the GIL go.
        ctypes.PyDLL(None).sleep(1_000_000)

    def holds_the_gil_in_a_loop(self):
        # One C function that never looks at the interpreter.
        return sum(itertools.repeat(0, 1 << 62))

    def swallows_everything(self):
        while True:
            # `contextlib.suppress` would run Python code of its own, which an exception of the watcher's could end.
            try:  # noqa: SIM105
                time.sleep(1e6)
            except BaseException:
                pass
