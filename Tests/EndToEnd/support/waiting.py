"""Waiting for something that another process does."""
import time


def wait_until(condition, seconds=20.0, what="", every=0.02):
    """Returns the first true value of `condition()`; fails, with the last value, after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what or condition} not within {seconds} s; last seen: {value!r}")
        time.sleep(every)
