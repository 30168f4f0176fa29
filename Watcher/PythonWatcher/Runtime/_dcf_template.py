"""A template: does a function's imports once, then forks a replica whenever the gateway asks for one.

Standard input is a socket to the gateway. A message is a list of fields, with a zero byte between them:

    fork NUMBER CPUS NAME=VALUE ...   with three descriptors: standard output, standard error, and a gate
    reap PID

    ready
    refused SUMMARY TRACEBACK
    forked NUMBER PID    or    failed NUMBER REASON
    ended PID STATUS     the status is that of wait()

A child waits at its gate, a pipe, until the gateway opens it; by then the gateway watches the child's process. If the
gate is closed instead, the child ends. A child that has ended keeps its process id until the gateway says reap, so no
signal can reach another process.
"""
# ruff: noqa: SIM105 - the runtime does not import contextlib: each import costs a replica time and memory.

import _thread
import faulthandler
import gc
import os
import socket
import sys
import time

import _dcf_ending
import _dcf_replica
import _dcf_watcher
from _dcf_faults import Fault, prepare
from _dcf_importing import lent, load, standard
from _dcf_signals import ignore_interrupts
from _dcf_streams import LogStreams

_MESSAGE_BYTES_MAX = 64 << 10
_DESCRIPTORS = 3

# An import may start threads that end by themselves within this time.
_THREADS_END_SECONDS = 0.5
_FIRST_TURN_SECONDS = 0.005

_NOT_OURS = "take it out of preload, or leave that to the handler's constructor"


class Refusal(Exception):
    """The imports cannot be shared: `summary` is one line, `text` the traceback or empty."""

    def __init__(self, summary, text=""):
        super().__init__(summary)
        self.summary = "preload: " + summary
        self.text = text


class Control:
    """The socket to the gateway. The process ends when the gateway closes it."""

    def __init__(self, log):
        self._log = log
        # Moved to another descriptor, away from the imported code; a handler's standard input is empty.
        self._socket = socket.socket(fileno=_dcf_watcher.copy_descriptor(0))
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        os.dup2(nothing, 0)
        os.close(nothing)

    def receive(self):
        """The next message's fields, and the descriptors that came with it."""
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self._socket, _MESSAGE_BYTES_MAX, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionError:
            data = b""
        if not data:
            self._end()
        return data.split(b"\0"), descriptors

    def send(self, *fields):
        message = b"\0".join(field if isinstance(field, bytes) else b"%d" % field for field in fields)
        try:
            self._socket.send(message[:_MESSAGE_BYTES_MAX], socket.MSG_NOSIGNAL)
        except ConnectionError:
            self._end()

    def _end(self):
        _dcf_ending.end(0, self._log, _dcf_replica.STOP_SECONDS)

    def close(self):
        self._socket.close()


def preload(names):
    """Imports the modules one after another; raises Refusal."""
    for name in names:
        try:
            __import__(name)
        except BaseException as error:
            raise _cannot_import(name, error) from None
        threads = _threads_of_python()
        if threads:
            raise Refusal(
                f"importing {name} started {threads}, "
                f"and a process with Python threads cannot be forked safely; {_NOT_OURS}"
            )
        gpu = _use_of_gpu()
        if gpu:
            raise Refusal(f"importing {name} {gpu}, and CUDA does not work after a fork; {_NOT_OURS}")


def _cannot_import(name, error):
    # No folder holds the author's own files here.
    fault = Fault(error, "\0")
    summary = f"{name} cannot be imported: {fault.summary}"
    if isinstance(error, ModuleNotFoundError) and error.name == name.partition(".")[0]:
        summary += "; preload takes what requirements.txt or the interpreter brings, not files of the function's folder"
    return Refusal(summary, fault.text)


def _threads_of_python():
    """Describes the Python threads beside this one; empty when there are none. Native threads do not count."""
    if len(os.listdir("/proc/self/task")) == 1:
        return ""
    # `threading` does not list a new thread until it has run for the first time.
    time.sleep(_FIRST_TURN_SECONDS)
    until = time.monotonic() + _THREADS_END_SECONDS
    while True:
        threading = standard("threading")
        others = [] if threading is None else threading.enumerate()
        others = [thread for thread in others if thread is not threading.main_thread()]
        if not others and _thread._count() == 0:
            return ""
        if time.monotonic() > until:
            break
        time.sleep(0.005)
    if not others:
        return "a thread without a name"
    return ("the thread " if len(others) == 1 else "the threads ") + ", ".join(f'"{each.name}"' for each in others)


def _use_of_gpu():
    """Describes how the import used the GPU; empty when it did not."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is not None and cuda.is_initialized():
        return "initialised CUDA (torch.cuda.is_initialized() is true)"
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink("/proc/self/fd/" + number)
        except OSError:
            continue
        if target.startswith("/dev/nvidia"):
            return f"opened the GPU ({target})"
    return ""


class Child:
    """A new replica's process, from the fork to the start of the replica."""

    def __init__(self, cpus, variables, descriptors):
        self._cpus = cpus
        self._variables = variables
        self._descriptors = descriptors

    def begin(self):
        """Gives the process its output, variables and processors, as a process of its own would have them."""
        _dcf_ending.forget_template()
        os.setpgid(0, 0)
        output, error, gate = self._descriptors
        os.dup2(output, 1)
        os.dup2(error, 2)
        opened = os.read(gate, 1)
        for descriptor in self._descriptors:
            os.close(descriptor)
        if not opened:
            os._exit(0)
        if self._cpus:
            os.sched_setaffinity(0, [int(cpu) for cpu in self._cpus.split(b",")])
        for variable in self._variables:
            name, _, value = variable.partition(b"=")
            os.environb[name] = value
        _reseed()


def _reseed():
    """Seeds the random generators of numpy and torch. The module random seeds itself when the process forks."""
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    generator = getattr(sys.modules.get("torch"), "default_generator", None)
    if generator is not None:
        generator.seed()


def serve(control):
    """Does what the gateway asks for. Returns only in a forked process: its Child."""
    while True:
        fields, descriptors = control.receive()
        if fields[0] == b"fork":
            child = Child(fields[2], fields[3:], descriptors)
            pid = _fork(control, fields[1])
            if pid == 0:
                return child
            for descriptor in descriptors:
                os.close(descriptor)
        elif fields[0] == b"reap":
            pid = int(fields[1])
            control.send(b"ended", pid, os.waitpid(pid, 0)[1])


def _fork(control, number):
    warnings = load("warnings")
    with lent(("warnings",)), warnings.catch_warnings(module=warnings):
        # Since 3.12 a fork warns where there are threads, native ones too. OpenBLAS restarts its own threads by itself.
        warnings.simplefilter("ignore")
        try:
            pid = os.fork()
        except OSError as error:
            control.send(b"failed", number, os.fsencode(f"fork: {error.strerror}"))
            return -1
    if pid > 0:
        try:
            # The child does the same. Either way the group exists before the gateway learns the process id.
            os.setpgid(pid, pid)
        except OSError:
            pass
        control.send(b"forked", number, pid)
    return pid


def run(parent):
    log = LogStreams()
    control = Control(log)
    faulthandler.enable(2)
    ignore_interrupts()
    names = os.environ.pop("DCF_PRELOAD").split(",")
    try:
        preload(names)
    except Refusal as refusal:
        log.error.write(refusal.text or refusal.summary + "\n")
        log.flush()
        control.send(b"refused", os.fsencode(refusal.summary), refusal.text.encode("utf-8", "backslashreplace"))
        _dcf_ending.end(_dcf_replica.EXIT_HANDLER, log, _dcf_replica.STOP_SECONDS)
    prepare()
    gc.collect()
    # Otherwise each replica would write the buffered output again.
    _dcf_ending.flush(log)
    gc.freeze()
    control.send(b"ready")
    child = serve(control)
    control.close()
    child.begin()
    log.own()
    _dcf_replica.run(parent, log)
