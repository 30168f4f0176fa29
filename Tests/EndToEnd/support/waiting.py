"""Time in a test. Only this module sleeps, and each function says what the time is for.

A test waits for what another process does with `wait_until` or `wait_for`, never by letting time pass."""
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


def wait_for(wanted, read, seconds=20.0, what="", every=0.02):
    """Returns when `read()` gives `wanted`; fails, with the last value, after `seconds`."""
    end = time.monotonic() + seconds
    while (value := read()) != wanted:
        assert time.monotonic() < end, f"{what or read} is {value!r} after {seconds} s, and not {wanted!r}"
        time.sleep(every)


def stays(condition, seconds, what="", every=0.02):
    """Fails when `condition()` is false once within `seconds`: the time in which nothing may happen."""
    end = time.monotonic() + seconds
    while True:
        assert condition(), f"{what or condition} did not stay so for {seconds} s"
        if time.monotonic() > end:
            return
        time.sleep(every)


def load_for(seconds):
    """Lets a load go on that other threads make: the load is what the test needs."""
    time.sleep(seconds)


def pause(seconds):
    """A pause that belongs to the load: the pace of a client, or the moment of a kill."""
    time.sleep(seconds)


def unseen_step():
    """Lets a thread of the gateway put a call that it has read into a queue: nothing shows a client when it has."""
    time.sleep(0.05)
