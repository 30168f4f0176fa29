"""The watcher as the first process of a container, here without a container."""
import os
import pathlib
import signal
import subprocess

import pytest

import frames
from replica import PATIENCE, WATCHER, settings, state_of, wait_for
from test_calls import ECHO

SLOW = """
import os, time

def Handler(req):
    open("begun", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.01)
    return "done"
"""

ASYNC = """
import asyncio, os

async def Handler(req):
    open("begun", "w").close()
    while not os.path.exists("go"):
        await asyncio.sleep(0.01)
    return "done"
"""

#: Leaves an orphan process behind.
ORPHANS = """
import os, subprocess

def Handler(req):
    if os.fork() == 0:
        child = subprocess.Popen(["sleep", "1000"])
        open("orphan", "w").write(str(child.pid))
        os._exit(0)
    os.wait()
    return open("orphan").read()
"""


def launch(*arguments, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([WATCHER, *map(str, arguments)], capture_output=True, timeout=PATIENCE, text=True, **options)


def alive(pid):
    return state_of(pid) not in ("", "Z", "X")


def test_it_serves_on_every_python(start, each_python):
    replica = start(ECHO, python=each_python, contained=True).started()
    assert replica.reply(b"x") == b"x"
    assert replica.hello.head  # The pid in it is the interpreter's own.
    replica.drain()
    assert replica.ended()
    assert replica.status() == 0


def test_the_link_may_be_named_with_its_scheme(start, folder):
    replica = start(ECHO, contained=True, environment={"DCF_LINK": f"unix:{folder}/l"}).started()
    assert replica.reply(b"x") == b"x"


def test_the_links_end_is_its_end(start):
    replica = start(ECHO, contained=True).started()
    (inner,) = children(replica.process.pid)
    replica.link.close()
    assert replica.status() == 128 + signal.SIGKILL or replica.status() == -signal.SIGKILL
    assert not alive(inner)


def children(pid):
    return [int(each) for each in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_it_does_not_outlive_the_first_process(start):
    replica = start(ECHO, contained=True).started()
    (inner,) = children(replica.process.pid)
    replica.process.kill()
    wait_for(lambda: not alive(inner))


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_replica(start, sign):
    replica = start(ECHO, contained=True).started()
    replica.process.send_signal(sign)
    assert replica.status() == 0
    assert replica.receive().kind == frames.LEAVING
    assert replica.ended()


@pytest.mark.parametrize("options", [{}, {"concurrency": 2}])
@pytest.mark.parametrize("turn", range(10))
def test_a_signal_right_after_ready(start, options, turn):
    replica = start(ECHO, contained=True, settings=settings(**options)).started()
    replica.process.send_signal(signal.SIGTERM)
    assert replica.status() == 0


@pytest.mark.parametrize("source, options", [
    (SLOW, {}), (SLOW, {"concurrency": 2}), (ASYNC, {"concurrency": 2}), (ASYNC, {"concurrency": 1}),
])
def test_a_call_under_way_is_finished(start, source, options):
    replica = start(source, contained=True, settings=settings(**options)).started()
    replica.send(frames.call(1))
    wait_for((replica.folder / "begun").exists)
    replica.process.send_signal(signal.SIGTERM)
    assert replica.receive().kind == frames.LEAVING
    (replica.folder / "go").touch()
    answer = replica.receive()
    assert (answer.kind, answer.payload) == (frames.REPLY, b"done")
    assert replica.status() == 0


def test_a_constructor_that_works_is_ended(start):
    replica = start("import time\nopen('begun', 'w').close()\ntime.sleep(1000)\n", contained=True)
    replica.accept()
    replica.welcome()
    wait_for((replica.folder / "begun").exists)
    replica.process.send_signal(signal.SIGTERM)
    assert replica.status() in (-signal.SIGTERM, 128 + signal.SIGTERM)


def test_a_child_of_the_handler_dies_of_the_signal(start):
    """multiprocessing ends its workers so."""
    source = """
import os, signal, time

def Handler(req):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"x")
        while True: time.sleep(0.1)
    os.read(reading, 1)
    os.kill(child, signal.SIGTERM)
    return str(os.waitpid(child, 0)[1])
"""
    assert start(source, contained=True).started().reply(b"") == b"15"


def test_other_signals_are_passed_on(start):
    """For example the signal that asks for the stacks."""
    replica = start(SLOW, contained=True).started()
    replica.send(frames.call(1))
    wait_for((replica.folder / "begun").exists)
    replica.process.send_signal(signal.SIGRTMIN + 8)
    assert b"in Handler" in replica.err.wait_for(b"in Handler")


def test_what_the_handler_left_running_ends_with_it(start):
    replica = start(ORPHANS, contained=True).started()
    orphan = int(replica.reply(b""))
    replica.drain()
    assert replica.status() == 0
    wait_for(lambda: not alive(orphan))


def test_the_first_process_reaps_orphans(folder, python):
    """In a pid namespace of its own, where it is process 1."""
    source = """
import os, subprocess, time

def Handler(req):
    for _ in range(20):
        subprocess.run(["sh", "-c", "sleep 0.01 &"])
    end = time.monotonic() + 30
    # Wait until only the first process and this one are left.
    while True:
        states = []
        for pid in os.listdir("/proc"):
            if pid.isdigit():
                try:
                    states.append(open("/proc/%s/stat" % pid).read().rsplit(")", 1)[1].split()[0])
                except OSError:
                    pass
        if len(states) == 2 or time.monotonic() > end:
            break
        time.sleep(0.01)
    return "%s %d %d" % (open("/proc/1/comm").read().strip(), states.count("Z"), os.getpid() != 1)
"""
    (folder / "handler.py").write_text(source)
    command = ["unshare", "--pid", "--fork", "--mount-proc", str(WATCHER), "--once", "--python", str(python)]
    done = subprocess.run(command, env={"HANDLER_DIR": str(folder), "PATH": os.environ["PATH"]},
                          input=b"", capture_output=True, timeout=PATIENCE)
    if b"unshare: unshare failed" in done.stderr:
        pytest.skip("no namespaces of process ids here")
    assert done.stdout == b"dcf-watcher 0 1", done.stderr


# The messages for an image that cannot work.

def test_without_a_gateway():
    done = launch(env={"PATH": os.environ["PATH"]})
    assert done.returncode == 1
    assert done.stderr == ("dcf-watcher: DCF_LINK is not set: this is the image of a function, which a gateway starts "
                           "(dcf function deploy); to try it here: dcf function run\n")


def test_without_a_token():
    done = launch(env={"PATH": os.environ["PATH"], "DCF_LINK": "tcp:127.0.0.1:1"})
    assert done.returncode == 1
    assert done.stderr.startswith("dcf-watcher: DCF_TOKEN is not set, and neither is DCF_TOKEN_FILE: "), done.stderr


def test_without_a_python():
    done = launch(env={"PATH": "/no/such", "DCF_LINK": "/x", "DCF_TOKEN": "t"})
    assert done.returncode == 1
    assert done.stderr == ("dcf-watcher: there is no python3 in this image (PATH is /no/such): a function's image is "
                           "built on one that has Python 3.9 or later\n")


def test_with_a_python_that_is_too_old():
    found = sorted((pathlib.Path.home() / ".pyenv/versions").glob("3.8.*/bin/python3.8"))
    if not found:
        pytest.skip("no Python 3.8 on this machine")
    done = launch("--python", found[0], env={"DCF_LINK": "/x", "DCF_TOKEN": "t"})
    assert done.returncode == 1
    assert done.stderr == (f"dcf-watcher: {found[0]} is Python 3.8, a function needs Python 3.9 or later; "
                           "build the image on another base\n")


def test_without_a_handler(start):
    replica = start(contained=True)
    answer = replica.ready()
    assert answer.kind == frames.FAILED
    words = f"handler.py is not in {replica.folder}; see HANDLER_FILE and HANDLER_DIR"
    assert words.encode() in answer.head
    assert replica.status() == 1
    assert words.encode() in replica.err.all()


def test_one_call(folder, python):
    """An image may have its author's command line; then a variable asks for the one call."""
    (folder / "handler.py").write_text(ECHO)
    done = subprocess.run([WATCHER, "--python", python], input=b"x", capture_output=True, timeout=PATIENCE,
                          env={"HANDLER_DIR": str(folder), "DCF_ONCE": "1"})
    assert (done.returncode, done.stdout) == (0, b"x"), done.stderr
