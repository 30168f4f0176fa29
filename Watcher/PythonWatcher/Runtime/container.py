"""A replica that is the only one in a container: its health is a file, and a SIGTERM is a drain."""

import os
from _signal import SIG_DFL, SIGTERM, signal
from posix import getpid, kill

import _dcf_link
import _dcf_watcher
from _dcf_loading import Location


class ContainedLocation(Location):
    """In the words of the image."""

    advice = "see HANDLER_FILE and HANDLER_DIR"


class ContainedReplica(_dcf_link.Replica):
    location_type = ContainedLocation

    def __init__(self, log):
        super().__init__(log)
        self._process = getpid()
        # Before the handler is imported: it may want the signal for itself.
        signal(SIGTERM, self._terminate)
        if os.environ.get("DCF_CONTAINER") == "1" and not _dcf_watcher.keep_health_file():
            log.error.write("dcf-watcher: /tmp/.lock cannot be written: the container will never be called healthy\n")

    def _terminate(self, number, frame):
        if getpid() == self._process and _dcf_watcher.drain():
            return
        # A child that the handler forked, or a constructor that still works.
        signal(number, SIG_DFL)
        kill(getpid(), number)


def run(parent):
    _dcf_link.run(parent, replica=ContainedReplica)
