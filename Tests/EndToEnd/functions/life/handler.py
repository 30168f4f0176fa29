"""Writes down its life: `made VERSION PID`, `warm VERSION PID`, `closed VERSION PID`, each with one write.

A call is answered with the version. The constructor raises an error while a file `broken` lies beside it.
A call with the input `warm up` raises an error while a file `cold` does."""
import os
import time


def who():
    """Its process id, and which processes that counts among."""
    return f"{os.getpid()}@{os.stat('/proc/self/ns/pid').st_ino}"


class Handler:
    def __init__(self, parameters):
        self.file = os.open(parameters["journal"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        with open("number.txt") as file:
            self.version = file.read()
        if os.path.exists("broken"):
            raise RuntimeError(f"the weights of version {self.version} are broken")
        time.sleep(float(parameters.get("load_seconds", 0)))
        self.write("made")

    def write(self, word):
        os.write(self.file, f"{word} {self.version} {who()}\n".encode())

    def __call__(self, req):
        if req.input == b"warm up":
            if os.path.exists("cold"):
                raise RuntimeError(f"version {self.version} cannot get warm")
            self.write("warm")
        return self.version

    def close(self):
        self.write("closed")
