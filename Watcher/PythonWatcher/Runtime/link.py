"""A function's replica: dials the gateway, makes the handler, answers calls until told to stop."""

import faulthandler
import json
import os
import sys
import time

import _dcf_watcher
from _dcf_info import make_info
from _dcf_loading import LoadFailure, Location, load
from _dcf_streams import LogStreams

# Sent by the gateway to have the stacks of all threads in the log: SIGRTMIN+8, where SIGRTMIN is glibc's 34. It works
# while C code holds the GIL.
STACKS_SIGNAL = 34 + 8

EXIT_HANDLER, EXIT_UNAVAILABLE, EXIT_PROTOCOL = 1, 69, 70


class Replica:
    """The life of the process, from the handshake to its end."""

    def __init__(self):
        self.log = LogStreams()
        self.location = Location(os.environ)

    def run(self, parent):
        try:
            self._run(parent)
            self.end(0)
        except _dcf_watcher.LinkError as error:
            self._complain(error, EXIT_PROTOCOL)
        except ConnectionError as error:
            self._complain(error, EXIT_UNAVAILABLE)
        except SystemExit as error:
            # A signal handler of the author's, while nothing was being worked on.
            self.end(error.code if isinstance(error.code, int) else 0 if error.code is None else 1)
        except BaseException as error:
            from _dcf_faults import Fault

            self.log.error.write(Fault(error, self.location.folder).text)
            self.end(EXIT_HANDLER)

    def _run(self, parent):
        version = "%d.%d.%d" % sys.version_info[:3]
        path, token = os.environ.get("DCF_LINK", ""), os.environ.get("DCF_TOKEN", "")
        for name in [name for name in os.environ if name.startswith("DCF_")]:
            del os.environ[name]
        settings = json.loads(_dcf_watcher.connect(path, token, version, parent))
        _dcf_watcher.set_info(make_info(settings))
        began = time.monotonic()
        handler = self._load(settings.get("parameters") or {})
        _dcf_watcher.ready(int((time.monotonic() - began) * 1e6))
        _dcf_watcher.serve(handler, self._describe_exception, self._describe_reply, self.log.flush_partial)

    def _load(self, parameters):
        try:
            self.location.enter()
            return load(self.location, parameters)
        except LoadFailure as failure:
            self._fail(failure)

    def _fail(self, failure):
        if failure.cause is None:
            summary, text = failure.summary, b""
            self.log.error.write("dcf-watcher: %s\n" % summary)
        else:
            from _dcf_faults import Fault

            fault = Fault(failure.cause, self.location.folder)
            summary, text = fault.summary, fault.traceback
            self.log.error.write(fault.text)
        self.log.flush()
        _dcf_watcher.failed(failure.stage, summary, text)
        self.end(EXIT_HANDLER)

    def _reporter(self):
        from _dcf_faults import FaultReporter

        return FaultReporter(self.location.folder, self.log.error)

    def _describe_exception(self, error):
        return self._reporter().describe_exception(error)

    def _describe_reply(self, reply):
        return self._reporter().describe_reply(reply)

    def end(self, status):
        """atexit, the log, and out: interpreters with numpy or torch in them are not always safe to finalize."""
        import atexit

        atexit._run_exitfuncs()
        self.log.flush()
        os._exit(status)

    def _complain(self, error, status):
        self.log.error.write("dcf-watcher: %s\n" % error)
        self.log.flush()
        os._exit(status)


def keep_stacks_readable():
    """Stacks go to a copy of standard error, which a handler that closes its own does not close."""
    descriptor = _dcf_watcher.copy_descriptor(2)
    if descriptor >= 0:
        faulthandler.enable(descriptor)
        faulthandler.register(STACKS_SIGNAL, descriptor, all_threads=True)


def run(parent):
    keep_stacks_readable()
    Replica().run(parent)
