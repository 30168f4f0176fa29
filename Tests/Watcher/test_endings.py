"""A replica ends as plain Python does: threads, exit handlers, buffered output, temporary files."""
import os
import pathlib
import signal

import pytest

import frames
from replica import once, rests, settings
from templates import Template
from test_calls import handler
from test_life import gateway_with_watcher, is_gone, receive


def ended(replica, data=b"x"):
    """Makes a call and drains the replica; returns what came to standard output."""
    assert replica.reply(data) == b"done"
    replica.drain()
    assert replica.status() == 0, replica.err.all()
    return replica.out.all().decode()


# Buffered output.

WRAPPERS = {
    "text over the buffer": "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')",
    "buffered over the buffer": "sys.stdout = io.TextIOWrapper(io.BufferedWriter(sys.stdout.buffer), "
                                "encoding='latin-1')",
    "fdopen": "sys.stdout = os.fdopen(1, 'w')",
    "fdopen of a copy": "sys.stdout = os.fdopen(os.dup(1), 'w', buffering=1 << 20)",
    "open": "sys.stdout = open('/dev/stdout', 'w')",
    "codecs": "sys.stdout = codecs.getwriter('utf-8')(sys.stdout.buffer)",
    "a buffered one that is not sys.stdout": "out = open(1, 'w', closefd=False)\n"
                                             "print = functools.partial(print, file=out)",
    "the interpreter's first": "sys.stdout = sys.__stdout__",
    "a tee": "class Tee:\n    def __init__(self, *to): self.to, self.kept = to, []\n"
             "    def write(self, text): self.kept.append(text)\n"
             "    def flush(self):\n        for each in self.to: each.write(''.join(self.kept))\n"
             "        self.kept.clear()\n"
             "sys.stdout = Tee(sys.stdout)",
    "redirected": "stack = contextlib.ExitStack()\nstack.enter_context(contextlib.redirect_stdout(sys.__stdout__))",
    "logging": "import logging.handlers\nlog = logging.getLogger('x')\n"
               "log.addHandler(logging.handlers.MemoryHandler(100, target=logging.StreamHandler(sys.stdout)))\n"
               "log.setLevel(1)\nprint = log.info",
    "C": "libc = ctypes.CDLL(None)\nlibc.printf.restype = ctypes.c_int\n"
         "print = lambda text: libc.printf(text.encode() + b'\\n') and None",
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_what_was_printed_through_another_stream(start, name):
    source = ("import codecs, contextlib, ctypes, functools, io, os, sys\n" + WRAPPERS[name]
              + "\nprint('at import')\ndef Handler(req):\n    print('in the call')\n    return b'done'\n")
    replica = start(source).started()
    assert ended(replica).replace("\x1erequest-1\x1f", "") == "at import\nin the call\n"
    done = once(replica.folder, replica.python, b"x")
    assert (done.returncode, done.stdout, done.stderr.decode()) == (0, b"done", "at import\nin the call\n")


def test_a_replaced_stdout_is_read_while_the_replica_lives(start, each_python):
    replica = start("import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')\n"
                    "print('at import')\n"
                    "def Handler(req):\n    print('in the call')\n    return b'done'\n", python=each_python).started()
    replica.out.wait_for(b"at import\n")
    assert replica.reply() == b"done"
    replica.out.wait_for(b"in the call\n")


def test_a_file_that_nobody_closed(start, folder):
    replica = start("file = open('kept', 'w')\nfile.write('kept')\ndef Handler(req): return b'done'\n").started()
    ended(replica)
    assert (folder / "kept").read_text() == "kept"


def test_an_empty_write_is_no_line(start, each_python):
    replica = start(handler("""
import sys
print("a")
print("", end="")
print(end="")
sys.stdout.write("")
sys.stdout.writelines([])
sys.stdout.buffer.write(b"")
sys.stderr.write("")
print("b", end="")
sys.stdout.write("")
sys.stdout.flush()
print()
return b"done\""""), python=each_python).started()
    assert ended(replica).replace("\x1erequest-1\x1f", "") == "a\nb\n"
    assert replica.err.all() == b""


def test_what_a_forked_child_printed(start, each_python):
    """multiprocessing flushes the child's streams at its end; the child runs no exit handlers that could."""
    replica = start("""
import multiprocessing, os, sys
def work():
    print("of the child", end="")
def Handler(req):
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    return b"done"
""", python=each_python).started()
    assert "of the child" in ended(replica)


# Exit handlers.

HANDLERS = """
import atexit, os, sys
def note(text):
    with open(FILE, "a") as file: file.write("%s %s\\n" % (text, os.getpid() == MAIN))
MAIN = os.getpid()
atexit.register(note, "last registered first")
atexit.register(lambda: 1 / 0)
atexit.register(note, "first")
atexit.register(sys.exit, 5)
class Handler:
    def __call__(self, req): return b"done"
    def close(self): note("close")
"""


def test_exit_handlers_run_once_and_in_order(start, folder, each_python):
    replica = start(HANDLERS.replace("FILE", repr(str(folder / "notes"))), python=each_python).started()
    ended(replica)
    assert (folder / "notes").read_text() == "close True\nfirst True\nlast registered first True\n"
    assert replica.err.all().count(b"ZeroDivisionError: division by zero") == 1


def test_exit_handlers_without_a_gateway(folder, each_python):
    done = once(folder, each_python, b"x", HANDLERS.replace("FILE", repr(str(folder / "notes"))))
    assert (done.returncode, done.stdout) == (0, b"done")
    assert (folder / "notes").read_text() == "close True\nfirst True\nlast registered first True\n"
    assert done.stderr.count(b"ZeroDivisionError: division by zero") == 1


def test_exit_handlers_of_a_constructor_that_raised(start, folder):
    replica = start("import atexit\natexit.register(print, 'goodbye')\nclass Handler:\n    def __init__(self): 1 / 0\n"
                    "    def __call__(self, req): pass\n")
    assert replica.ready().kind == frames.FAILED
    assert replica.status() == 1
    assert replica.out.all() == b"goodbye\n"


PRELOADED = """
import atexit, logging, os, tempfile, weakref, multiprocessing.util, concurrent.futures
def note(text):
    with open(FILE, "a") as file: file.write("%s %s\\n" % (text, os.getpid() == MAIN))
MAIN = os.getpid()
atexit.register(note, "the template's")
folder = tempfile.TemporaryDirectory()
buffered = open(FILE + ".buffered", "w")
buffered.write("once")
"""

IN_REPLICA = """
import atexit, logging, logging.handlers, os, sys, tempfile, threading, time
import preloaded
log = logging.getLogger("x")
log.addHandler(logging.handlers.MemoryHandler(100, target=logging.StreamHandler(sys.stdout)))
log.setLevel(1)
atexit.register(print, "the replica's")
own = tempfile.TemporaryDirectory()
def later():
    time.sleep(0.2)
    sys.stdout.write("the thread's\\n")
class Handler:
    def __call__(self, req):
        log.info("logged")
        threading.Thread(target=later).start()
        open("own", "w").write(own.name)
        return preloaded.folder.name if req.input == b"folder" else b"done"
"""


def test_a_templates_exit_handlers_are_its_own(folder, each_python):
    notes = folder / "notes"
    (folder / "modules").mkdir()
    (folder / "modules/preloaded.py").write_text(PRELOADED.replace("FILE", repr(str(notes))))
    with Template(each_python, "preloaded", environment={"PYTHONPATH": str(folder / "modules")}).ready() as template:
        for name in ("a", "b"):
            replica = template.fork(folder / name, IN_REPLICA).started()
            shared = pathlib.Path(replica.reply(b"folder", id=5).decode())
            lines = sorted(ended(replica).splitlines())
            assert lines == ["logged", "logged", "the replica's", "the thread's", "the thread's"]
            assert shared.is_dir()
            assert not pathlib.Path((folder / name / "own").read_text()).exists()
            assert not notes.exists()
        template.control.shutdown(2)
        assert template.process.wait(60) == 0
        assert notes.read_text() == "the template's True\n"
        assert (folder / "notes.buffered").read_text() == "once"
        assert not shared.exists()


# Threads, and tasks on an event loop.

LATER = {
    "thread": "threading.Thread(target=later).start()",
    "timer": "threading.Timer(0.3, later).start()",
    "executor": "concurrent.futures.ThreadPoolExecutor().submit(later)",
    "thread of a thread": "threading.Thread(target=lambda: threading.Thread(target=later).start()).start()",
}


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("name", LATER)
def test_threads_are_waited_for(start, folder, name, concurrency):
    source = ("import concurrent.futures, threading, time\ndef later():\n    time.sleep(0.3)\n"
              "    print('later')\n    open('result', 'w').write('done')\n"
              f"def Handler(req):\n    {LATER[name]}\n    return b'done'\n")
    replica = start(source, settings=settings(concurrency=concurrency)).started()
    assert ended(replica) == "later\n"
    assert (folder / "result").read_text() == "done"
    (folder / "result").unlink()
    assert once(folder, replica.python, b"x").stdout == b"done"
    assert (folder / "result").read_text() == "done"


def test_threads_on_each_python(start, folder, each_python):
    replica = start("import threading, time\ndef later():\n    time.sleep(0.3)\n    print('later')\n"
                    "def Handler(req):\n    threading.Thread(target=later).start()\n"
                    "    return b'done'\n", python=each_python).started()
    assert ended(replica) == "later\n"


@pytest.mark.alone
def test_a_thread_that_does_not_end_has_the_stop_time(start, each_python):
    replica = start("import atexit, threading, time\natexit.register(print, 'goodbye')\n"
                    "def Handler(req):\n    threading.Thread(target=time.sleep, args=(600,)).start()\n"
                    "    return b'done'\n",
                    python=each_python, settings=settings(stop=3)).started()
    assert ended(replica) == "goodbye\n"
    assert b"did not end in time, and is cut off\n" in replica.err.all()


@pytest.mark.alone
def test_an_exit_handler_that_does_not_end_has_the_stop_time(start):
    replica = start("import atexit, time\natexit.register(print, 'goodbye')\natexit.register(time.sleep, 600)\n"
                    "def Handler(req): return b'done'\n", settings=settings(stop=3)).started()
    assert ended(replica) == "goodbye\n"


def test_c_code_at_the_end_that_does_not_end(start):
    replica = start("import atexit, ctypes\natexit.register(ctypes.PyDLL(None).sleep, 600)\n"
                    "def Handler(req): return b'done'\n",
                    settings=settings(stop=1)).started()
    assert replica.reply() == b"done"
    replica.drain()
    assert replica.status() in (0, 1)


def test_an_event_loop_ends_as_asyncio_runs_do(start, folder, each_python):
    source = """
import asyncio, threading, time
class Handler:
    closing = threading.Event()
    def later(self):
        self.closing.wait()
        time.sleep(0.2)
        print("executor done")
    async def pieces(self):
        try:
            yield 1
        finally:
            print("generator closed")
    async def forever(self):
        try:
            await asyncio.sleep(600)
        finally:
            await asyncio.sleep(0.01)
            print("task cancelled")
    async def __call__(self, req):
        self.task = asyncio.ensure_future(self.forever())
        self.generator = self.pieces()
        await self.generator.__anext__()
        asyncio.get_running_loop().run_in_executor(None, self.later)
        await asyncio.sleep(0.01)
        return b"done"
    async def close(self):
        print("close")
        self.closing.set()
"""
    wanted = ["close", "executor done", "generator closed", "task cancelled"]
    replica = start(source, python=each_python).started()
    lines = ended(replica).replace("\x1erequest-1\x1f", "").splitlines()
    assert lines[0] == "close" and sorted(lines) == wanted
    done = once(folder, each_python, b"x", source)
    assert (done.stdout, sorted(done.stderr.decode().splitlines())) == (b"done", wanted)


# Shared memory, processes and temporary files.

LEFT = {
    "temporary folder": "kept = tempfile.TemporaryDirectory()\nname = kept.name",
    "temporary file": "kept = tempfile.NamedTemporaryFile()\nname = kept.name",
    "spooled": "kept = tempfile.SpooledTemporaryFile()\nname = '/nothing'",
    "finalizer": "class K: pass\nkept = K()\nname = tempfile.mkdtemp()\nweakref.finalize(kept, os.rmdir, name)",
    "shared memory": "from multiprocessing import shared_memory\n"
                     "kept = shared_memory.SharedMemory(create=True, size=100)\n"
                     "name = '/dev/shm/' + kept.name.lstrip('/')",
    "a manager": "kept = multiprocessing.get_context('spawn').Manager()\nname = '/proc/%d' % kept._process.pid",
    "a daemonic process": "kept = multiprocessing.get_context('spawn').Process(target=time.sleep, args=(600,), "
                          "daemon=True)\nkept.start()\n"
                          "name = '/proc/%d' % kept.pid",
    "a semaphore": "kept = multiprocessing.get_context('spawn').Semaphore()\n"
                   "name = '/dev/shm/sem.' + kept._semlock.name.lstrip('/')",
    "a pool": "kept = multiprocessing.get_context('forkserver').Pool(1)\nname = '/proc/%d' % kept._pool[0].pid",
    "a process pool": "import concurrent.futures\nkept = concurrent.futures.ProcessPoolExecutor(1)\n"
                      "kept.submit(int).result()\n"
                      "name = '/proc/%d' % list(kept._processes)[0]",
}


@pytest.mark.parametrize("name", LEFT)
def test_what_a_replica_leaves_is_removed(start, folder, name):
    setup = "".join(f"        {line}\n" for line in LEFT[name].split("\n"))
    source = ("import multiprocessing, os, tempfile, time, weakref\nclass Handler:\n    def __init__(self):\n" + setup
              + "        self.kept, self.name = kept, name\n    def __call__(self, req):\n"
                "        assert self.name == '/nothing' or os.path.exists(self.name)\n"
                "        open('name', 'w').write(self.name)\n        return b'done'\n")
    replica = start(source).started()
    ended(replica)
    assert not os.path.exists((folder / "name").read_text())


# Signals.

def test_children_have_the_usual_signals(start, each_python):
    source = handler("""
import os, signal, subprocess, sys
child = "from signal import *; print(getsignal(SIGINT) is default_int_handler, int(getsignal(SIGTERM)))"
spawned = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout.strip()
status = subprocess.run(["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"], capture_output=True, text=True).stdout
pid = os.fork()
if pid == 0:
    try:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000): pass
        os._exit(1)
    except KeyboardInterrupt:
        os._exit(7)
masks = [int(line.split()[1], 16) & ~(3 << 31) for line in status.splitlines()]
return "%s %s %s" % (spawned, masks, os.WEXITSTATUS(os.waitpid(pid, 0)[1]))""")
    replica = start(source, python=each_python).started()
    wanted = b"True 0 [0, 0] 7"
    assert replica.reply() == wanted
    assert once(replica.folder, each_python, b"x").stdout == wanted
    os.kill(replica.process.pid, signal.SIGINT)
    assert replica.reply(id=2) == wanted
    with Template(each_python, "queue").ready() as template:
        forked = template.fork(replica.folder / "forked", source).started()
        assert forked.reply() == wanted
        os.kill(template.pid, signal.SIGINT)
        os.kill(forked.pid, signal.SIGINT)
        assert forked.reply(id=2) == wanted


# The end of the gateway.

GONE = """
import atexit, tempfile
def note(text):
    with open("notes", "a") as file: file.write(text + "\\n")
kept = tempfile.TemporaryDirectory()
open("left", "w").write(kept.name)
atexit.register(note, "exit")
class Handler:
    {prefix}def __call__(self, req): return b"done"
    def close(self): note("close")
"""


@pytest.mark.parametrize("prefix, others", [("", {}), ("async ", {}), ("", {"concurrency": 2})],
                         ids=["plain", "async", "threads"])
def test_an_idle_replica_that_loses_its_link_ends_in_good_order(start, folder, prefix, others):
    replica = start(GONE.format(prefix=prefix), settings=settings(**others)).started()
    assert replica.reply() == b"done"
    rests(replica.process.pid)
    replica.link.close()
    assert replica.status() == -signal.SIGKILL
    assert (folder / "notes").read_text() == "close\nexit\n"
    assert not os.path.exists((folder / "left").read_text())


def test_an_idle_replica_of_a_killed_gateway_ends_in_good_order(folder, python):
    gateway, pid, link = gateway_with_watcher(folder, python, GONE.format(prefix=""))
    assert receive(link) == frames.READY
    link.sendall(frames.call(1))
    assert receive(link) == frames.REPLY
    rests(pid)
    gateway.kill()
    gateway.wait()
    assert is_gone(pid)
    assert (folder / "notes").read_text() == "close\nexit\n"
    link.close()


def test_one_that_does_not_end_is_ended(start, folder):
    source = GONE.format(prefix="") + "import time\natexit.register(time.sleep, 600)\n"
    replica = start(source).started()
    assert replica.reply() == b"done"
    replica.link.close()
    assert replica.status() == -signal.SIGKILL
