"""A network of a test's own, in which this machine has an address that is not a loopback one."""
import concurrent.futures
import contextlib
import ctypes
import os
import subprocess

import pytest

#: Of unshare(2).
CLONE_NEWNET = 0x40000000


def _enter(address):
    """The calling thread alone, and what it starts, is in the new network."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    for words in (("link", "set", "lo", "up"), ("address", "add", f"{address}/32", "dev", "lo")):
        subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def elsewhere(address):
    """Gives a function that calls another there: its sockets and its processes are of that network."""
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        try:
            thread.submit(_enter, address).result()
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no network of its own can be had: {error}")
        yield lambda body: thread.submit(body).result()
