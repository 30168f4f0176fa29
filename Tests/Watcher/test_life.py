"""The process's start and end: the launcher's refusals, the link's protocol, and the end with the gateway."""
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys

import pytest

import frames
from replica import BIN, PATIENCE, WATCHER, wait_for
from test_calls import ECHO


def launch(*arguments, **options):
    return subprocess.run([WATCHER, *map(str, arguments)], capture_output=True, timeout=PATIENCE,
                          stdin=subprocess.DEVNULL, text=True, **options)


# The launcher.

@pytest.mark.parametrize("arguments, reason", [
    (("--template",), "--parent is missing"),
    (("--parent", "1"), "--python is missing"),
    (("--parent", "x"), "--parent needs the number of a process"),
    (("--parent", "1", "--python"), "--python needs the path of an interpreter"),
    (("--child",), "--child needs a command after --"),
    (("--mark", "8192"), "--mark needs the number of a mark"),
    (("--sweep", "0"), "--sweep needs the number of a family"),
    (("--verbose",), 'unknown argument "--verbose"'),
])
def test_wrong_arguments(arguments, reason):
    done = launch(*arguments)
    assert done.returncode == 64
    assert done.stderr.startswith(f"dcf-watcher: {reason}\nusage: ")


def test_a_python_that_is_not_there():
    done = launch("--parent", os.getpid(), "--python", "/no/such/python3")
    assert done.returncode == 69
    assert done.stderr == ("dcf-watcher: the interpreter /no/such/python3 cannot be started: "
                           "No such file or directory; see the function's python key\n")


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7", "3.8"])
def test_a_python_that_is_too_old(version):
    found = sorted((pathlib.Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python{version}"))
    if not found:
        pytest.skip(f"no Python {version} on this machine")
    done = launch("--parent", os.getpid(), "--python", found[0])
    assert done.returncode == 69
    assert done.stderr == (f"dcf-watcher: {found[0]} is Python {version}, a function needs Python 3.9 or later; "
                           "see its python key\n")


def test_a_missing_library(folder, python):
    shutil.copy(WATCHER, folder / "dcf-watcher")
    done = subprocess.run([folder / "dcf-watcher", "--once", "--python", python], capture_output=True, text=True)
    assert done.returncode == 69
    assert done.stderr.startswith(f"dcf-watcher: libPythonWatcher.so is missing: neither {folder}/libPythonWatcher.so")


def test_the_library_where_make_install_puts_it(folder, start):
    (folder / "bin").mkdir()
    (folder / "lib/dcf").mkdir(parents=True)
    shutil.copy(WATCHER, folder / "bin/dcf-watcher")
    shutil.copy(BIN / "libPythonWatcher.so", folder / "lib/dcf")
    assert start(ECHO, launcher=folder / "bin/dcf-watcher").started().reply(b"x") == b"x"


def test_a_parent_that_is_another():
    done = launch("--parent", os.getpid() + 1, "--python", sys.executable)
    assert done.returncode == 69
    assert done.stderr == "dcf-watcher: the process that started it has already ended\n"


def test_a_child_becomes_the_command():
    program = "import sys; print(sys.argv[1:]); sys.exit(5)"
    done = launch("--child", "--", sys.executable, "-c", program, "a b", "--", "")
    assert (done.returncode, done.stdout, done.stderr) == (5, "['a b', '--', '']\n", "")


def test_a_child_that_cannot_be_started():
    done = launch("--child", "--", "/no/such/program")
    assert (done.returncode, done.stderr) == (
        127, "dcf-watcher: /no/such/program cannot be started: No such file or directory\n")


def test_signals_are_as_they_are_by_default():
    """Signals that the parent ignores or blocks have their defaults in the child."""
    def spoil():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))

    done = subprocess.run([WATCHER, "--child", "--", "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"],
                          capture_output=True, text=True, preexec_fn=spoil)
    # The C library uses signals 32 and 33 itself, and starts programs with both ignored.
    own = 1 << 31 | 1 << 32
    assert [int(line.split()[1], 16) & ~own for line in done.stdout.splitlines()] == [0, 0]


# The end with the gateway.

def is_gone(pid):
    """Waits for the end of a process that is not a child of this one."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], PATIENCE)[0])
    finally:
        os.close(descriptor)


def a_gateway(folder, command):
    """A process that starts `command` (a list, with PARENT for its own pid), prints its pid and waits."""
    source = ("import os, subprocess, sys\n"
              "command = [w.replace('PARENT', str(os.getpid())) for w in sys.argv[1:]]\n"
              "print(subprocess.Popen(command, stdin=subprocess.DEVNULL).pid, flush=True)\nsys.stdin.read()\n")
    process = subprocess.Popen([sys.executable, "-c", source, *map(str, command)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, cwd=folder)
    return process, int(process.stdout.readline())


def test_a_child_dies_with_its_parent(folder):
    gateway, pid = a_gateway(folder, [WATCHER, "--child", "--", "sleep", "600"])
    gateway.kill()
    gateway.wait()
    assert is_gone(pid)


def test_what_a_child_started_dies_with_the_parent_too(folder):
    """The whole group ends, not only its first process; so do the children of pip."""
    reading, writing = os.pipe()
    source = ("import os, subprocess, sys\n"
              "nested = 'sleep 600 & sh -c \"sleep 601 & sleep 602\" & echo started >/dev/fd/%s; wait' % sys.argv[2]\n"
              "subprocess.Popen([sys.argv[1], '--child', '--parent', str(os.getpid()), '--', 'sh', '-c', nested],\n"
              "                 pass_fds=[int(sys.argv[2])])\nsys.stdin.read()\n")
    gateway = subprocess.Popen([sys.executable, "-c", source, WATCHER, str(writing)], stdin=subprocess.PIPE, cwd=folder,
                               pass_fds=[writing])
    os.close(writing)
    assert os.read(reading, 100) == b"started\n"
    gateway.kill()
    gateway.wait()
    # The pipe ends when the last process that holds it is gone.
    assert select.select([reading], [], [], PATIENCE)[0] and os.read(reading, 1) == b""
    os.close(reading)


def test_what_a_child_started_ends_with_it():
    done = launch("--child", "--", "sh", "-c", "sleep 600 & exit 3")
    assert done.returncode == 3  # `launch` has waited for the end of the pipe, which the sleeper held too.


AWAY = "setsid sh -c 'setsid sleep 600 & sleep 601' & setsid env -i /bin/sleep 602 & echo started"


@pytest.mark.parametrize("end", ["exit 3", "kill -9 $$", "kill -9 $PPID; wait"])
def test_what_leaves_the_group_ends_too(end):
    """The pipe ends when the last process that holds it is gone, however the child or its guard ended."""
    child = subprocess.Popen([WATCHER, "--child", "--", "sh", "-c", f"{AWAY}; {end}"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE)
    assert child.communicate(timeout=PATIENCE)[0] == b"started\n"
    assert child.wait(PATIENCE) == (3 if "exit" in end else -signal.SIGKILL)


@pytest.mark.parametrize("end, status", [("return b''", 0), ("os._exit(4)", 4), ("os.kill(os.getpid(), 9)", -9)])
def test_what_a_trial_leaves_ends_too(folder, python, end, status):
    (folder / "handler.py").write_text(
        f"import os, subprocess\ndef Handler(req):\n    subprocess.Popen(['sh', '-c', {AWAY!r}])\n    {end}\n")
    done = subprocess.run([WATCHER, "--once", "--python", python], input=b"", capture_output=True, timeout=PATIENCE,
                          env={"PATH": os.environ["PATH"], "HANDLER_DIR": str(folder), "HANDLER_FILE": "handler.py",
                               "HANDLER_NAME": "Handler"})
    assert done.returncode == status


def receive(link):
    """A frame's kind."""
    def exactly(count):
        data = b""
        while len(data) < count:
            piece = link.recv(count - len(data))
            assert piece
            data += piece
        return data

    length, kind, _, _, _ = frames.HEADER.unpack(exactly(frames.HEADER.size))
    exactly(length)
    return kind


def gateway_with_watcher(folder, python, source):
    """A gateway process, but this process serves its link: the link stays open when the gateway is killed."""
    (folder / "handler.py").write_text(source)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "l"))
    listener.listen()
    environment = ["env", f"HANDLER_DIR={folder}", "HANDLER_FILE=handler.py", "HANDLER_NAME=Handler",
                   f"DCF_LINK={folder}/l", "DCF_TOKEN=t"]
    gateway, pid = a_gateway(folder, [*environment, WATCHER, "--parent", "PARENT", "--python", python])
    listener.settimeout(PATIENCE)
    link, _ = listener.accept()
    listener.close()
    link.settimeout(PATIENCE)
    receive(link)
    link.sendall(frames.frame(frames.WELCOME, (1).to_bytes(2, "little") + (1 << 20).to_bytes(8, "little"), b"{}"))
    return gateway, pid, link


STUBBORN = """
import ctypes, os, subprocess
class Handler:
    def __init__(self):
        self.child = subprocess.Popen(["sleep", "600"])
        open("child", "w").write(str(self.child.pid))
    def __call__(self, req):
        open("begun", "w").close()
        # PyDLL does not release the GIL.
        ctypes.PyDLL(None).sleep(600)
"""



@pytest.mark.parametrize("state", ["starting", "idle", "holds the GIL"])
def test_a_watcher_and_its_children_die_with_the_gateway(folder, python, state):
    gateway, pid, link = gateway_with_watcher(folder, python, STUBBORN)
    if state == "holds the GIL":
        link.sendall(frames.call(1))
        wait_for((folder / "begun").exists)
    elif state == "idle":
        assert receive(link) == frames.READY
        wait_for((folder / "child").exists)
    gateway.kill()
    gateway.wait()
    assert is_gone(pid)
    if state != "starting":
        assert is_gone(int((folder / "child").read_text()))
    link.close()


def test_a_watcher_that_holds_the_gil_ends_with_the_link(start, folder):
    replica = start(STUBBORN).started()
    replica.send(frames.call(1))
    wait_for((folder / "begun").exists)
    replica.link.close()
    assert replica.status() == -signal.SIGKILL
    assert is_gone(int((folder / "child").read_text()))


def test_an_idle_watcher_ends_with_the_link(start, each_python):
    replica = start(ECHO, python=each_python).started()
    replica.link.close()
    assert replica.status() == -signal.SIGKILL


def test_a_watcher_leads_its_own_group(start):
    replica = start(ECHO).started()
    assert os.getpgid(replica.process.pid) == replica.process.pid
    assert pathlib.Path(f"/proc/{replica.process.pid}/comm").read_text() == "dcf-watcher\n"


@pytest.mark.parametrize("asks", [
    lambda replica: os.kill(replica.process.pid, signal.SIGRTMIN + 8),
    lambda replica: replica.send(frames.frame(frames.STACKS, flags=frames.OPTIONAL)),
], ids=["signal", "frame"])
def test_the_stacks(start, each_python, asks):
    """SIGRTMIN+8, or a frame, prints the stacks of all threads to the log, even while C code holds the GIL."""
    replica = start(STUBBORN, python=each_python).started()
    replica.send(frames.call(1))
    wait_for((replica.folder / "begun").exists)
    asks(replica)
    assert b"handler.py\", line" in replica.err.wait_for(b"in __call__")


# The handshake and the protocol.

def test_a_link_that_nobody_listens_on(folder, python):
    done = launch("--parent", os.getpid(), "--python", python,
                  env={"HANDLER_DIR": str(folder), "DCF_LINK": f"{folder}/nobody", "DCF_TOKEN": "t"})
    assert done.returncode == 69
    assert done.stderr == f"dcf-watcher: the gateway's socket {folder}/nobody: No such file or directory\n"


def test_a_socket_path_that_is_too_long(folder, python):
    done = launch("--parent", os.getpid(), "--python", python,
                  env={"HANDLER_DIR": str(folder), "DCF_LINK": "/" + "x" * 107, "DCF_TOKEN": "t"})
    assert done.returncode == 69
    assert "more than 107 bytes" in done.stderr


@pytest.mark.parametrize("data, reason", [
    (frames.frame(frames.DRAIN), b"frame 17 came where Welcome was expected"),
    (frames.frame(frames.WELCOME, b"\1\0"), b"frame welcome: its head ends early"),
    (frames.frame(frames.WELCOME, b"\x09\0" + bytes(8)), b"version 9 of the link"),
    (frames.HEADER.pack(1, frames.WELCOME, 0, 9, 0),
     b"frame welcome: its head of 9 bytes is longer than its body of 1"),
    (frames.HEADER.pack(0xFFFFFFFF, frames.WELCOME, 0, 9, 0), b"frame welcome has 4294967295 bytes, the limit is"),
])
def test_a_wrong_welcome(start, data, reason):
    replica = start(ECHO)
    replica.accept()
    replica.send(data)
    assert replica.status() == 70
    assert reason in replica.err.all()


def test_a_gateway_that_hangs_up_at_once(start):
    replica = start(ECHO)
    replica.accept()
    replica.link.close()
    assert replica.status() in (-signal.SIGKILL, 69)


@pytest.mark.parametrize("data, reason", [
    (frames.frame(77), b"unknown frame 77"),
    (frames.frame(frames.REPLY, b"\0\0"), b"frame reply: it must not come here"),
    (frames.frame(frames.CALL, b"short", id=1), b"frame call: its head ends early"),
    (frames.frame(frames.CALL, bytes(8) + b"\5\0abc", id=1), b"frame call: its head ends early"),
    (frames.frame(frames.CALL, bytes(8) + b"\0\0\1\0\3\0abc", id=1), b"frame call: its head ends early"),
    (frames.frame(frames.CALL, bytes(8) + b"\0\0\xff\xff", id=1), b"frame call: its head ends early"),
    (frames.HEADER.pack(3, frames.CALL, 0, 4, 1), b"frame call: its head of 4 bytes is longer than its body of 3"),
    (frames.HEADER.pack(100_000 + 65_537, frames.CALL, 0, 4, 1), b"frame call has 165537 bytes, the limit is 165536"),
    (bytes(range(200, 240)), b"has 3419064776 bytes, the limit is"),
])
def test_garbage_on_the_link(start, data, reason):
    replica = start(ECHO, max_body=100_000).started()
    replica.send(frames.call(1, b"before"), data)
    assert replica.receive().payload == b"before"
    assert replica.ended()
    assert replica.status() == 70
    assert reason in replica.err.all()


def test_optional_frames_are_skipped(start):
    replica = start(ECHO, max_body=1 << 20).started()
    for id, length in enumerate([0, 5, 100, 70_000, 1 << 20], 1):
        replica.send(frames.frame(99, b"head"[: length], b"x" * max(0, length - 4), flags=frames.OPTIONAL),
                     frames.call(id, b"after"))
        assert replica.receive().payload == b"after"


POLICY = """
import os, threading

class Handler:
    def __init__(self):
        CHOICE
        self.other = threading.Thread(target=threading.Event().wait, daemon=True)
        self.other.start()

    def __call__(self, req):
        return f"{os.sched_getscheduler(0)} {os.sched_getscheduler(self.other.native_id)}"
"""


def test_a_call_does_not_interrupt_the_gateway(start):
    """The thread that serves does not take the processor from the thread that wakes it; the handler's own threads are
    as usual."""
    replica = start(POLICY.replace("CHOICE", "pass")).started()
    assert replica.ask(b"").payload == f"{os.SCHED_BATCH} {os.SCHED_OTHER}".encode()


def test_a_policy_that_the_handler_chose_stays(start):
    choice = "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))"
    replica = start(POLICY.replace("CHOICE", choice)).started()
    assert replica.ask(b"").payload == f"{os.SCHED_IDLE} {os.SCHED_IDLE}".encode()
