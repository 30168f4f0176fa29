"""Ends the process as plain Python does, in the same order, but without finalizing the interpreter.

An interpreter that has loaded numpy or torch is not always safe to finalize.
"""
# ruff: noqa: SIM105 - the runtime does not import contextlib: each import costs a replica time and memory.

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

# The part of the time for the end that running threads and exit handlers may take; the rest is for flushing.
_THREADS_SHARE = 0.8

_main_thread = get_ident()
# The streams of the process, once it is ending.
_log = None


class _TimeIsUp(BaseException):
    """Raised in the main thread, to interrupt what it is waiting for."""


def end(status, log, seconds=None, leave=_exit):
    """Waits for threads, calls the exit handlers, writes buffered output, and ends the process.

    `seconds` is the time for all of that; None means no limit. `leave` is called with the status to end the process.
    """
    global _log
    _log = log
    try:
        _limit(seconds, leave is _exit)
        _attempt(_end_threads, log)
        _attempt(_run_exit_handlers, log)
        if seconds is not None:
            # The rest of the process group is killed when this process ends; its helpers clean up before that.
            _attempt(_end_helpers, log)
    except BaseException:
        # The time was up between two of these steps.
        pass
    try:
        flush(log)
        _close_temporary_files()
    except BaseException:
        pass
    leave(status)


def flush(log):
    """Writes all buffered output: of the log streams, of other Python files, and of C code."""
    log.flush()
    _flush_files()
    _dcf_watcher.flush_stdio()
    log.flush()


def _limit(seconds, is_alone):
    if seconds is None:
        return
    try:
        if is_alone:
            # Prints the threads' stacks and ends the process, even when no Python code can run. Without a gateway the
            # library's guard thread ends the whole process group instead.
            faulthandler.dump_traceback_later(seconds, exit=True, file=2)
        if get_ident() == _main_thread:
            signal(SIGALRM, _interrupt)
            setitimer(ITIMER_REAL, seconds * _THREADS_SHARE)
    except (OSError, ValueError, RuntimeError):
        pass


def _interrupt(number, frame):
    signal(SIGALRM, SIG_DFL)
    setitimer(ITIMER_REAL, 0)
    # The interrupted code may not let the exception through; Python then reports it through this hook.
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
    """Tells executors to end, and waits for threads that are not daemons."""
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
        # Before Python 3.10 the last exception is raised again after it has been printed.
        pass


def _end_helpers():
    """Ends multiprocessing's own processes. The resource tracker then removes shared memory that is left over."""
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
    """Flushes all files, as plain Python does at its end. Text files first: they write to the binary ones."""
    # The files of a template are frozen, and `get_objects` leaves frozen objects out.
    gc.unfreeze()
    files = [each for each in gc.get_objects() if issubclass(type(each), _IOBase)]
    for is_text in (True, False):
        for file in files:
            if hasattr(type(file), "encoding") == is_text and not _is_reading(file):
                try:
                    file.flush()
                except BaseException:
                    # The file is closed, or its reader is gone.
                    pass


def _is_reading(file):
    try:
        return file.closed or not file.writable()
    except BaseException:
        return True


def forget_template():
    """Removes the template's exit handlers and finalizers in a replica that was forked from it."""
    clear_exit_handlers()
    logging, util, weakref = standard("logging"), standard("multiprocessing.util"), standard("weakref")
    if weakref is not None:
        weakref.finalize._registry.clear()
        weakref.finalize._registered_with_atexit = False
    # In the order in which a fresh process that imports these modules registers them.
    if logging is not None:
        register_exit_handler(logging.shutdown)
    if util is not None:
        util._finalizer_registry.clear()
        register_exit_handler(util._exit_function)
    tracker = standard("multiprocessing.resource_tracker")
    if tracker is not None:
        tracker._resource_tracker._fd = tracker._resource_tracker._pid = None
