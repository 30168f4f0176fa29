"""Threads that stand still: the gateway says so once, with the stacks of all threads. Health is NOT_SERVING
meanwhile."""
import ctypes
import os
import pathlib
import re

import pytest

from support.health import NOT_SERVING, SERVING, checker, watch
from support.waiting import wait_until

pytestmark = pytest.mark.alone

#: Of ptrace(2) and waitpid(2).
SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000


class Held:
    """The threads of a gateway that run Swift's tasks stand still, whatever they were at, while all others go on."""

    #: Names of the first thread, and of those of Swift's pool.
    NAMES = re.compile("dcf-gateway|.*-qos")

    def __init__(self, pid):
        self.pid, self.held = pid, set()
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self.libc.ptrace.restype = ctypes.c_long

    def hold(self):
        """Those that there are by now."""
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            thread = int(task.name)
            try:
                name = (task / "comm").read_text().strip()
            except OSError:
                # It has ended meanwhile.
                continue
            if thread in self.held or not self.NAMES.fullmatch(name):
                continue
            if self.libc.ptrace(SEIZE, thread, None, None) != 0:
                pytest.skip(f"threads cannot be held here: {os.strerror(ctypes.get_errno())}")
            self.held.add(thread)
            self.libc.ptrace(INTERRUPT, thread, None, None)
            os.waitpid(thread, WALL)

    def __enter__(self):
        self.hold()
        return self

    def __exit__(self, *_):
        for thread in self.held:
            self.libc.ptrace(DETACH, thread, None, None)


def stalls(gateway):
    return gateway.text().count("] stalled: ")


@pytest.mark.fault("H1")
@pytest.mark.process
def test_the_control_plane_stands_still(own_gateway):
    gateway = own_gateway("--limit", "stall-timeout=3s")
    gateway.deploy("echo")
    check = checker(gateway.client)
    assert check() == check("echo") == SERVING
    watching = watch(gateway.client, "echo")
    assert next(watching).status == SERVING
    # Which of these stalls depends on what Swift's threads were at.
    stalled = re.compile("] stalled: .*(Swift's threads|the registry|the pool of tasks)")
    with Held(gateway.pid) as threads:
        def told():
            # Swift's pool makes more threads while work waits. What they do before they are held may end a stall.
            threads.hold()
            said = gateway.text()
            return check() == check("echo") == NOT_SERVING and stalled.search(said) and "does not answer" in said

        wait_until(told, 40, "NOT_SERVING, and the stacks of all threads")
        assert next(watching).status == NOT_SERVING
        # Calls need nothing of it.
        assert gateway.client.invoke("echo", b"x") == "x"
    assert next(watching).status == SERVING
    wait_until(lambda: check() == check("echo") == SERVING, 30, "SERVING again")
    watching.cancel()
    wait_until(lambda: "moves again" in gateway.text(), 10, "it is said")
    gateway.deploy("plain")
    gateway.stop()


@pytest.mark.fault("H8")
@pytest.mark.process
def test_a_log_thread_stands_still(own_gateway):
    gateway = own_gateway("--limit", "stall-timeout=3s")
    gateway.deploy("noisy")
    check = checker(gateway.client)
    path = gateway.data / "logs/noisy/log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    watching = watch(gateway.client)
    assert next(watching).status == SERVING
    gateway.client.invoke("noisy", b"say what nobody reads")
    assert next(watching).status == NOT_SERVING
    assert check() == check("noisy") == NOT_SERVING
    # Each thread has its stack, with the names of functions.
    words = ("stalled: log-writer", " links:", " sweeper:", " log-writer:", " dcf-logs:", "LogFile.write")
    wait_until(lambda: not [word for word in words if word not in gateway.text()], 10, "the stacks of all threads")
    assert gateway.client.invoke("noisy", b"say more", timeout=10) == "done"
    with open(path, "rb", buffering=0) as reader:
        assert next(watching).status == SERVING
        assert b"what nobody reads" in reader.read(1 << 16)
    watching.cancel()
    assert check() == check("noisy") == SERVING
    path.unlink()
    gateway.stop()
    # Once, however long it lasted.
    assert stalls(gateway) == 1
