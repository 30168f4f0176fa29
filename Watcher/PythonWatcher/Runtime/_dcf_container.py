"""A replica in a container of its own: a file shows its health, and SIGTERM begins a drain."""

import os
from _signal import SIG_DFL, SIGTERM, signal
from posix import getpid, kill

import _dcf_replica
import _dcf_watcher
from _dcf_loading import Location


class ContainedLocation(Location):
    """Where the handler is; error messages name the image's variables instead of the config's keys."""

    advice = "see HANDLER_FILE and HANDLER_DIR"


class ContainedReplica(_dcf_replica.Replica):
    location_type = ContainedLocation

    def __init__(self, log):
        super().__init__(log)
        self._process = getpid()
        # Set before the handler is imported, so that the handler can replace it.
        signal(SIGTERM, self._terminate)
        if os.environ.get("DCF_CONTAINER") == "1" and not _dcf_watcher.keep_health_file():
            log.error.write("dcf-watcher: /tmp/.lock cannot be written: the container will never be called healthy\n")

    def _terminate(self, number, frame):
        if getpid() == self._process and _dcf_watcher.drain():
            return
        # A child process that the handler forked, or a constructor that is still running: end as by default.
        signal(number, SIG_DFL)
        kill(getpid(), number)


def run(parent):
    _dcf_replica.run(parent, replica=ContainedReplica)
