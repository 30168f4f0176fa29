"""Starts processes that leave its group in every way there is; each has the parameter `mark` among its arguments."""
import os
import subprocess
import sys
import time

AWAY = {"start_new_session": True, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL}

#: Forks, leaves the rest to its child, and that does the same in a session of its own; for a minute at most.
FORKER = """
import os, time
until = time.monotonic() + 60
while time.monotonic() < until:
    if os.fork(): os._exit(0)
    os.setsid()
"""

#: A child for each of its children, all of them at once.
BOMB = """
import os, time
until, count = time.monotonic() + 60, 0
while time.monotonic() < until and count < 7:
    os.fork()
    count += 1
while time.monotonic() < until: time.sleep(1)
"""

BIG = "import time; x = bytearray(150 << 20); time.sleep(600)"


def daemon(mark):
    """As daemons have become daemons since ever."""
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir("/")
        os.closerange(0, 64)
        os.execv("/bin/sleep", ["sleep", mark])
    os.waitpid(child, 0)


def leave(mark):
    def shell(script):
        return subprocess.Popen(["/bin/sh", "-c", script, mark], **AWAY)

    subprocess.Popen(["sleep", mark])
    subprocess.Popen(["sleep", mark], **AWAY)
    subprocess.Popen(["/bin/sleep", mark], env={}, **AWAY)
    daemon(mark)
    shell("trap '' TERM HUP INT; sleep $0 & wait; sleep $0")
    shell("kill -STOP $$; sleep $0")
    shell("for i in 1 2 3 4 5 6 7 8 9 10; do sleep $0 & done; wait")
    shell("setsid sh -c 'setsid sleep $0 & sleep $0 & exit' $0 & exit")


class Handler:
    def __init__(self, parameters):
        self.mark = parameters["mark"]
        leave(self.mark)

    def __call__(self, req):
        words = req.input.decode().split()
        if words[0] == "pid":
            return str(os.getpid())
        if words[0] == "exit":
            os._exit(5)
        if words[0] == "sleep":
            time.sleep(float(words[1]))
        elif words[0] == "fork":
            for _ in range(int(words[1])):
                subprocess.Popen([sys.executable, "-S", "-c", FORKER, self.mark], **AWAY)
        elif words[0] == "bomb":
            subprocess.Popen([sys.executable, "-S", "-c", BOMB, self.mark], **AWAY)
        elif words[0] == "big":
            subprocess.Popen([sys.executable, "-c", BIG, self.mark], **AWAY)
        elif words[0] == "share":
            self.held = b"x" * (80 << 20)
            for _ in range(3):
                if os.fork() == 0:
                    os.setsid()
                    time.sleep(600)
                    os._exit(0)
        return "done"
