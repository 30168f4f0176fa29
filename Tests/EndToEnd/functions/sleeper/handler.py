"""Sleeps for as many seconds as the input says; `spin SECONDS` keeps the interpreter busy meanwhile."""
import time


def Handler(req):
    word, _, rest = req.input.decode().partition(" ")
    if word == "spin":
        end = time.monotonic() + float(rest)
        while time.monotonic() < end:
            pass
    else:
        time.sleep(float(word))
    return "awake"
