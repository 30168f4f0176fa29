"""A data folder on a file system of its own that is soon full."""
import contextlib
import os
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(gateway, mebibytes):
    """Puts the data folder of a gateway that has not started on a small disk; yields it. Ends the gateway
    afterwards."""
    gateway.data.mkdir(parents=True)
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=700", "tmpfs", str(gateway.data)], capture_output=True)
    if mount.returncode != 0:
        pytest.skip("a small file system cannot be mounted here: " + mount.stderr.decode().strip())
    try:
        yield SmallDisk(gateway.data)
    finally:
        gateway.end()
        subprocess.run(["umount", "-l", str(gateway.data)], check=True)


class SmallDisk:
    def __init__(self, path):
        self.path = path
        self.ballast = path / "ballast"

    @property
    def free(self):
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def fill(self, leaving=0):
        """Takes all that is free, to the last byte, or leaves so many bytes."""
        with open(self.ballast, "ab", buffering=0) as out:
            for size in (65536, 1):
                try:
                    while self.free > leaving or leaving == 0:
                        out.write(b"x" * size)
                except OSError:
                    continue
                if leaving:
                    return
