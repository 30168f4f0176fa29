import os
import time


class Handler:
    """Tells its process, and sleeps for ever when it is asked to."""

    def __call__(self, req):
        if req.input == b"sleep":
            time.sleep(1e6)
        return str(os.getpid())
