"""The end of the process, as plain Python's own end is: in the same order, but without taking the interpreter apart.

Interpreters with numpy or torch in them are not always safe to finalize.
"""

import faulthandler
import gc
import sys
from _io import _IOBase
from _signal import ITIMER_REAL, SIG_DFL, SIGALRM, setitimer, signal
from _thread import get_ident
from atexit import _clear as clear_exit_handlers
from atexit import _run_exitfuncs as run_exit_handlers
from atexit import register as register_exit_handler
from posix import _exit

import _dcf_watcher
from _dcf_faults import Fault
from _dcf_importing import standard

# Of the time that the process has for its end: what threads may take that go on, before the rest comes.
_THREADS_SHARE = 0.8

_main_thread = get_ident()
# The streams of the process, once it ends.
_log = None


class _TimeIsUp(BaseException):
    """Raised in what the main thread waits for."""


def end(status, log, seconds=None, leave=_exit):
    """Waits for threads, calls the exit handlers, writes what was printed and not yet written, and ends.

    `seconds` is the time for all of that; None is no limit. `leave` ends the process with a status.
    """
    global _log
    _log = log
    try:
        _limit(seconds, leave is _exit)
        _attempt(_end_threads, log)
        _attempt(_run_exit_handlers, log)
        if seconds is not None:
            # What is left of the process group then does not outlive this process.
            _attempt(_end_helpers, log)
    except BaseException:
        # The time was up between two of them.
        pass
    try:
        flush(log)
        _close_temporary_files()
    except BaseException:
        pass
    leave(status)


def flush(log):
    """Writes what was printed, whatever it was printed through."""
    log.flush()
    _flush_files()
    _dcf_watcher.flush_stdio()
    log.flush()


def _limit(seconds, is_alone):
    if seconds is None:
        return
    try:
        if is_alone:
            # Says where the threads are, and ends, also where nothing of Python's runs any more. Without a gateway the guard
            # does that, and ends the whole group.
            faulthandler.dump_traceback_later(seconds, exit=True, file=2)
        if get_ident() == _main_thread:
            signal(SIGALRM, _interrupt)
            setitimer(ITIMER_REAL, seconds * _THREADS_SHARE)
    except (OSError, ValueError, RuntimeError):
        pass


def _interrupt(number, frame):
    signal(SIGALRM, SIG_DFL)
    setitimer(ITIMER_REAL, 0)
    # What is interrupted may keep the exception to itself, and say so.
    sys.unraisablehook = _complain_of_others
    _log.error.write("dcf-watcher: what went on while the replica stopped did not end in time, and is cut off\n")
    raise _TimeIsUp


def _complain_of_others(unraisable, hook=sys.unraisablehook):
    if not issubclass(unraisable.exc_type, _TimeIsUp):
        hook(unraisable)


def _attempt(work, log):
    try:
        work()
    except BaseException as error:
        if not issubclass(type(error), (SystemExit, _TimeIsUp)):
            log.error.write(Fault(error, "\0").text)


def _end_threads():
    """Executors are told to end, and threads that are not daemons waited for."""
    threading = standard("threading")
    if threading is None:
        return
    shut_down = getattr(threading, "_shutdown", None)
    if callable(shut_down):
        shut_down()


def _run_exit_handlers():
    try:
        run_exit_handlers()
    except Exception:
        # Before Python 3.10 the last one that failed is raised after it was printed.
        pass


def _end_helpers():
    """multiprocessing's own processes: the tracker removes the shared memory that nobody else did when it is told to end."""
    server, tracker = standard("multiprocessing.forkserver"), standard("multiprocessing.resource_tracker")
    for each in (server and server._forkserver, tracker and tracker._resource_tracker):
        try:
            if each is not None:
                each._stop()
        except (AttributeError, OSError):
            pass


def _close_temporary_files():
    tempfile = standard("tempfile")
    kind = getattr(tempfile, "_TemporaryFileCloser", None)
    for each in gc.get_objects() if kind is not None else ():
        if type(each) is kind:
            try:
                each.cleanup() if hasattr(each, "cleanup") else each.close()
            except BaseException:
                pass


def _flush_files():
    """Plain Python does this when it takes the files apart. Texts first: what they hold goes to the files below them."""
    # A template's own are frozen.
    gc.unfreeze()
    files = [each for each in gc.get_objects() if issubclass(type(each), _IOBase)]
    for is_text in (True, False):
        for file in files:
            if hasattr(type(file), "encoding") == is_text and not _is_reading(file):
                try:
                    file.flush()
                except BaseException:
                    # It is closed, or whoever reads it has gone.
                    pass


def _is_reading(file):
    try:
        return file.closed or not file.writable()
    except BaseException:
        return True


def forget_template():
    """In a replica that was forked: what a template was to do at its end is not the replica's to do."""
    clear_exit_handlers()
    logging, util, weakref = standard("logging"), standard("multiprocessing.util"), standard("weakref")
    if weakref is not None:
        weakref.finalize._registry.clear()
        weakref.finalize._registered_with_atexit = False
    # In the order in which their modules would have done it.
    if logging is not None:
        register_exit_handler(logging.shutdown)
    if util is not None:
        util._finalizer_registry.clear()
        register_exit_handler(util._exit_function)
    tracker = standard("multiprocessing.resource_tracker")
    if tracker is not None:
        tracker._resource_tracker._fd = tracker._resource_tracker._pid = None
