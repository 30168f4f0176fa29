"""What the end-to-end tests start, call and look at."""
import os

#: The faults at full length instead of what every change can wait for.
FULL = os.environ.get("DCF_TEST_FULL") == "1"


def length(short, full):
    """The length of a fault: `short` for every change, `full` under DCF_TEST_FULL=1."""
    return full if FULL else short
