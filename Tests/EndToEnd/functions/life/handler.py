"""Writes down its life: `made VERSION PID`, `warm VERSION PID`, `closed VERSION PID`, each with one write. Answers with its version.

The constructor raises while a file `broken` lies beside it; the call whose input is `warm up` raises while `cold` does."""
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
            raise RuntimeError("the weights of version %s are broken" % self.version)
        time.sleep(float(parameters.get("load_seconds", 0)))
        self.write("made")

    def write(self, word):
        os.write(self.file, f"{word} {self.version} {who()}\n".encode())

    def __call__(self, req):
        if req.input == b"warm up":
            if os.path.exists("cold"):
                raise RuntimeError("version %s cannot get warm" % self.version)
            self.write("warm")
        return self.version

    def close(self):
        self.write("closed")
