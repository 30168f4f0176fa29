"""A function's replica: dials the gateway, constructs the handler, answers calls until the gateway tells it to stop."""

import faulthandler
import os
import sys
from posix import _exit
from time import monotonic

import _dcf_ending
import _dcf_watcher
from _dcf_faults import Fault, FaultReporter, prepare
from _dcf_importing import load as load_module
from _dcf_info import make_info, read_settings
from _dcf_loading import CONFIGURATION, WARM_UP, LoadFailure, Location, load
from _dcf_serving import Serving
from _dcf_signals import ignore_interrupts
from _dcf_streams import LogStreams

# On this signal the replica prints the stacks of all threads to the log, even while C code holds the GIL. It is
# SIGRTMIN+8; glibc's SIGRTMIN is 34.
STACKS_SIGNAL = 34 + 8

# The pause between two attempts to reach a gateway that has gone away.
REDIAL_SECONDS = 0.05

# The time for the end of the process: the default where the settings have no `stop`, and the time without a gateway,
# after which the library's guard thread ends the process.
STOP_SECONDS, LAST_SECONDS = 5.0, 0.5

EXIT_HANDLER, EXIT_UNAVAILABLE, EXIT_PROTOCOL = 1, 69, 70


class Replica:
    """The replica's process, from the handshake to its end."""

    location_type = Location

    def __init__(self, log):
        self.log = log
        self.location = self.location_type(os.environ)
        self.reporter = FaultReporter(self.location.folder, log.error)
        self._stop = STOP_SECONDS
        self._is_served = False

    def run(self, parent):
        try:
            self._run(parent)
            self.end(0)
        except BaseException as error:
            self.end_with(error)

    def end_with(self, error):
        """Logs why the replica cannot go on, and ends it."""
        kind = type(error)
        if issubclass(kind, _dcf_watcher.LinkError):
            self._complain(error, EXIT_PROTOCOL)
        if issubclass(kind, ConnectionError) and self._is_served:
            _dcf_ending.end(EXIT_UNAVAILABLE, self.log, LAST_SECONDS, lambda status: _dcf_watcher.end_group())
        if issubclass(kind, ConnectionError):
            self._complain(error, EXIT_UNAVAILABLE)
        if issubclass(kind, SystemExit):
            # Raised by a signal handler of the author's between two calls.
            self.end(error.code if isinstance(error.code, int) else 0 if error.code is None else 1)
        self.log_exception(error)
        self.end(EXIT_HANDLER)

    def _run(self, parent):
        version = ".".join(map(str, sys.version_info[:3]))
        path, token, task, descriptor = os.environ.get("DCF_LINK", ""), _token(), "", -1
        if path.startswith("unix:"):
            path = path[5:]
        elif path.startswith("tcp:"):
            dialing = load_module("_dcf_dialing")
            task = dialing.task_name(os.environ.get("DCF_TASK", ""))
            descriptor = dialing.dial(path)
        elif path.startswith("fd:"):
            path, descriptor = path[:3], int(path[3:])
        # For so many seconds the replica goes on without a gateway, with its model loaded, and dials the next one.
        returns = int(os.environ.get("DCF_RETURN") or 0)
        for name in [name for name in os.environ if name.startswith("DCF_")]:
            del os.environ[name]
        settings = read_settings(_dcf_watcher.connect(path, descriptor, token, task, version, parent))
        self._stop = settings.get("stop") or STOP_SECONDS
        _dcf_watcher.set_info(make_info(settings))
        began = monotonic()
        try:
            self.location.enter()
            serving = Serving(load(self.location, settings.get("parameters") or {}), settings, self, self.log)
            micros = int((monotonic() - began) * 1e6)
            warm_up(self.location, settings.get("warmup"), serving.warm_up)
        except LoadFailure as failure:
            self._fail(failure)
        if returns and descriptor < 0:
            _dcf_watcher.may_return(returns)
        self.log.watch_replaced()
        _dcf_watcher.ready(micros)
        prepare()
        self._is_served = True
        try:
            self._serve(serving, path, token, version)
        except (ConnectionError, SystemExit):
            # The gateway is gone, or a signal handler of the author's ends the process.
            serving.close()
            raise
        serving.close()

    @staticmethod
    def _serve(serving, path, token, version):
        serving.run()
        while _dcf_watcher.is_lost():
            if _dcf_watcher.reconnect(path, token, version):
                _dcf_watcher.ready(0)
                serving.run()
            else:
                serving.wait(REDIAL_SECONDS)

    def _fail(self, failure):
        if failure.cause is None:
            summary, text = failure.summary, b""
            self.log.error.write(f"dcf-watcher: {summary}\n")
        else:
            fault = Fault(failure.cause, self.location.folder)
            summary, text = fault.summary, fault.traceback
            self.log.error.write(fault.text)
        self.log.flush()
        _dcf_watcher.failed(failure.stage, summary, text)
        self.end(EXIT_HANDLER)

    def describe_exception(self, error):
        return self.reporter.describe_exception(error)

    def describe_reply(self, reply, number):
        return self.reporter.describe_reply(reply, number)

    def log_exception(self, error):
        self.reporter.log_exception(error)

    def close(self, iterator):
        self.reporter.close(iterator)

    def end(self, status):
        _dcf_ending.end(status, self.log, self._stop)

    def _complain(self, error, status):
        """Logs why the link cannot be used, and ends the process at once."""
        self.log.error.write(f"dcf-watcher: {error}\n")
        self.log.flush()
        _exit(status)


def _token():
    """The token that identifies this replica, from a variable or, for a cluster's secret, from a file."""
    token, path = os.environ.get("DCF_TOKEN", ""), os.environ.get("DCF_TOKEN_FILE", "")
    if token or not path:
        return token
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConnectionError(f"DCF_TOKEN_FILE: {path} cannot be read: {reason}") from None


def warm_up(location, settings, call):
    """Makes the warm-up call that the config asks for; raises LoadFailure."""
    if not settings:
        return
    try:
        if "file" in settings:
            # Relative to the function's folder, even if the constructor has changed the current folder.
            with open(os.path.join(location.folder, settings["file"]), "rb") as file:
                data = file.read()
        else:
            data = settings["input"].encode()
    except OSError as error:
        raise LoadFailure(CONFIGURATION, "warmup.file {}: {}".format(settings["file"], error.strerror)) from None
    try:
        call(data)
    except BaseException as error:
        kind = type(error)
        if kind.__name__ in ("WrongReply", "WrongBatch") and kind.__module__.startswith("_dcf_"):
            raise LoadFailure(WARM_UP, f"the warm-up call: {error}") from None
        raise LoadFailure(WARM_UP, cause=error) from None


def keep_stacks_readable():
    """Sends stacks to a copy of standard error, which stays open when the handler closes its own."""
    descriptor = _dcf_watcher.copy_descriptor(2)
    if descriptor >= 0:
        faulthandler.enable(descriptor)
        faulthandler.register(STACKS_SIGNAL, descriptor, all_threads=True)


def run(parent, log=None, replica=Replica):
    """Runs a replica in this process. `log`: the log streams, if the process has them already."""
    keep_stacks_readable()
    ignore_interrupts()
    replica(log or LogStreams()).run(parent)
