"""Writes a line for each construction; says how many calls this one object has had."""
import os


class Handler:
    def __init__(self, parameters):
        self.calls = 0
        with open(parameters["file"], "a") as out:
            out.write(f"{os.getpid()}\n")

    def __call__(self, req):
        self.calls += 1
        return str(self.calls)
