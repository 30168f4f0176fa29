"""Its constructor raises while the file `flag` is there, and hangs while `hang` is."""
import os
import subprocess
import time


def who():
    """Its process id, and which processes that counts among."""
    return f"{os.getpid()}@{os.stat('/proc/self/ns/pid').st_ino}"


class Handler:
    def __init__(self, parameters):
        if os.path.exists(parameters["flag"]):
            raise RuntimeError("bad weights: the flag is there")
        if os.path.exists(parameters.get("hang", "/nowhere")):
            subprocess.Popen(["sleep", "987"])
            time.sleep(600)

    def __call__(self, req):
        return who()
