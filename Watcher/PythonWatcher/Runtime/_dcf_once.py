"""One call without a gateway: the input comes from standard input, the reply goes to standard output.

Everything that the handler prints goes to standard error. All else is as in a replica.
"""

import faulthandler
import os
from _signal import ITIMER_REAL, SIGALRM, setitimer, signal
from posix import _exit, dup2, read, write

import _dcf_chains
import _dcf_ending
import _dcf_watcher
from _dcf_faults import Fault, FaultReporter
from _dcf_info import make_info, read_settings
from _dcf_loading import LoadFailure, Location, load
from _dcf_replica import EXIT_HANDLER, warm_up
from _dcf_serving import call_once, close
from _dcf_streams import LogStreams

EXIT_CONFIGURATION, EXIT_INTERRUPTED = 78, 130


class Trial:
    """The one call, from the handler's constructor to the end of the process."""

    def __init__(self):
        # The handler's standard input is empty. Its standard output, C code's too, is standard error.
        self._input, self._output = _dcf_watcher.copy_descriptor(0), _dcf_watcher.copy_descriptor(1)
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        dup2(nothing, 0)
        os.close(nothing)
        dup2(2, 1)
        self._log = LogStreams()
        self._location = Location(os.environ)

    def run(self):
        settings = read_settings(os.environ.get("DCF_CONFIG") or "{}")
        for name in [name for name in os.environ if name.startswith("DCF_")]:
            del os.environ[name]
        _dcf_watcher.set_info(make_info(settings))
        _dcf_chains.refusal = "there is no gateway to call other functions through: this is a trial of one function"
        try:
            self._call(settings)
        except KeyboardInterrupt:
            self._end(EXIT_INTERRUPTED)
        except LoadFailure as failure:
            if failure.cause is not None:
                self._fail(failure.cause)
            self._log.error.write(f"{failure.summary}\n")
            self._end(EXIT_CONFIGURATION)
        except BaseException as error:
            self._fail(error)
        self._end(0)

    def _call(self, settings):
        timeout = settings.get("timeout") or {}
        with _Limit("the constructor", timeout.get("start"), "timeout.start", self._log):
            self._location.enter()
            handler = load(self._location, settings.get("parameters") or {})
            batch = settings.get("batch")
            warm_up(
                self._location,
                settings.get("warmup"),
                lambda data: call_once(handler, batch, _dcf_watcher.Request(data), lambda piece: None),
            )
        data = self._read()
        seconds = timeout.get("call")
        request = _dcf_watcher.Request(data, seconds) if seconds else _dcf_watcher.Request(data)
        try:
            with _Limit("the call", seconds, "timeout.call", self._log):
                call_once(handler, batch, request, self._write)
        finally:
            self._log.flush_partial()
            close(handler, self._complain)

    def _read(self):
        parts = []
        # A closed standard input is an empty input.
        while self._input >= 0:
            part = read(self._input, 1 << 20)
            if not part:
                break
            parts.append(part)
        return b"".join(parts)

    def _write(self, data):
        view = memoryview(data)
        try:
            while view:
                view = view[write(self._output, view) :]
        except BrokenPipeError:
            self._end(EXIT_HANDLER)

    def _complain(self, error):
        self._log.error.write(Fault(error, self._location.folder).text)

    def _fail(self, error):
        """The handler gave no reply."""
        kind = type(error)
        if issubclass(kind, KeyboardInterrupt):
            self._end(EXIT_INTERRUPTED)
        if kind.__module__ in ("_dcf_replies", "_dcf_batches"):
            self._log.error.write(f"{error}\n")
        else:
            FaultReporter(self._location.folder, self._log.error).describe_exception(error)
        self._end(EXIT_HANDLER)

    def _end(self, status):
        _dcf_ending.end(status, self._log)


class _Limit:
    """A context manager with a time limit: when the time is up, the process prints its threads' stacks and ends."""

    # The process ends this much later where Python code cannot run, or the author handles the signal.
    _PATIENCE_SECONDS = 0.5

    def __init__(self, what, seconds, name, log):
        self._message = f"{what} had not returned after {seconds} s ({name}); where its threads are:\n"
        self._seconds = seconds
        self._log = log

    def __enter__(self):
        if self._seconds:
            self._before = signal(SIGALRM, self._end)
            setitimer(ITIMER_REAL, self._seconds)
            faulthandler.dump_traceback_later(self._seconds + self._PATIENCE_SECONDS, exit=True, file=2)

    def __exit__(self, *_):
        if self._seconds:
            faulthandler.cancel_dump_traceback_later()
            setitimer(ITIMER_REAL, 0)
            signal(SIGALRM, self._before)

    def _end(self, number, frame):
        self._log.flush()
        self._log.error.write(self._message)
        faulthandler.dump_traceback(2)
        _exit(EXIT_HANDLER)


def run(parent):
    faulthandler.enable(2)
    Trial().run()
