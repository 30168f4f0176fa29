"""One call without a gateway: standard input is the caller's bytes, standard output gets the reply.

Everything the handler prints goes to standard error.
"""

import faulthandler
import json
import os
import sys

import _dcf_chains
import _dcf_watcher
from _dcf_info import make_info
from _dcf_loading import LoadFailure, Location, load
from _dcf_serving import call_once

EXIT_HANDLER, EXIT_CONFIGURATION, EXIT_INTERRUPTED = 1, 78, 130


def run(parent):
    output = _take_standard_output()
    faulthandler.enable(2)
    settings = json.loads(os.environ.get("DCF_CONFIG") or "{}")
    for name in [name for name in os.environ if name.startswith("DCF_")]:
        del os.environ[name]
    location = Location(os.environ)
    try:
        _dcf_watcher.set_info(make_info(settings))
        _dcf_chains.refusal = "there is no gateway to call other functions through: this is a trial of one function"
        _call(location, settings, lambda piece: _write(output, piece))
    except KeyboardInterrupt:
        _end(EXIT_INTERRUPTED)
    except _Failure as failure:
        sys.stderr.write(failure.text)
        _end(failure.status)
    _end(0)


class _Failure(Exception):
    """The call gave no reply: what standard error says, and the exit status."""

    def __init__(self, text, status=EXIT_HANDLER):
        super().__init__(text)
        self.text = text
        self.status = status


def _take_standard_output():
    """Keeps the real one for the reply; whatever else writes to it, C code too, reaches standard error."""
    output = os.dup(1)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    return output


def _call(location, settings, emit):
    try:
        location.enter()
        handler = load(location, settings.get("parameters") or {})
        call_once(handler, settings.get("batch"), _dcf_watcher.Request(sys.stdin.buffer.read()), emit)
        return
    except LoadFailure as failure:
        if failure.cause is None:
            raise _Failure("%s\n" % failure.summary, EXIT_CONFIGURATION) from None
        error = failure.cause
    except BaseException as raised:
        error = raised
    if isinstance(error, KeyboardInterrupt):
        raise error
    if type(error).__module__ in ("_dcf_replies", "_dcf_batches"):
        raise _Failure("%s\n" % error)
    from _dcf_faults import Fault

    raise _Failure(Fault(error, location.folder).text)


def _write(output, data):
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(output, view) :]
    except BrokenPipeError:
        _end(EXIT_HANDLER)


def _end(status):
    import atexit

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    os._exit(status)
