"""One call without a gateway."""
import signal
import subprocess

import pytest

from replica import WATCHER, once
from test_calls import ECHO, handler


def test_echo(folder, each_python):
    data = bytes(range(256)) * 1000
    done = once(folder, each_python, data, ECHO)
    assert (done.returncode, done.stdout, done.stderr) == (0, data, b"")


def test_parameters_and_info(folder, each_python):
    done = once(folder, each_python, b"x", """
class Handler:
    def __init__(self, parameters): self.factor = parameters["factor"]
    def __call__(self, req): return "%s %s %s" % (self.factor, req.info.name, req.remaining())
""", config={"name": "tried", "parameters": {"factor": 3}})
    assert (done.returncode, done.stdout) == (0, b"3 tried None")


def test_what_a_handler_prints_goes_to_standard_error(folder, each_python):
    done = once(folder, each_python, b"", handler(
        "import os, sys\nprint('printed')\nos.write(1, b'raw\\n')\nos.system('echo shell')\nreturn b'reply'"))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"reply", b"printed\nraw\nshell\n")


@pytest.mark.parametrize("source, status, words", [
    (handler("raise ValueError('bad')"), 1, ["Traceback", "handler.py\", line 3, in __call__", "ValueError: bad\n"]),
    (handler("import sys; sys.exit(0)"), 1, ["SystemExit: 0"]),
    ("class Handler:\n    def __init__(self): 1 / 0\n    def __call__(self, req): pass\n", 1,
     ["handler.py\", line 2, in __init__", "ZeroDivisionError"]),
    ("import nothing_like_it", 1, ["ModuleNotFoundError"]),
    (handler("return {}"), 1, ["the handler returned a dict", "json.dumps"]),
    (handler("return None"), 1, ["the handler returned None"]),
    (handler("return '\\ud800'"), 1, ["not valid Unicode"]),
    ("x = 1", 78, ["handler.py has no Handler"]),
    (None, 78, ["handler.py is not in"]),
])
def test_failures(folder, each_python, source, status, words):
    done = once(folder, each_python, b"", source)
    assert (done.returncode, done.stdout) == (status, b"")
    assert all(word in done.stderr.decode() for word in words), done.stderr
    assert b"<dcf>" not in done.stderr


@pytest.mark.parametrize("source, name, line", [
    (handler("import time; time.sleep(600)"), "the call had not returned after 0.5 s (timeout.call)", 3),
    (handler("import ctypes, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]); "
             "ctypes.PyDLL(None).sleep(600)"),
     "Timeout (0:00:01)!", 3),
    ("import time\nclass Handler:\n    def __init__(self): time.sleep(600)\n    def __call__(self, req): pass\n",
     "the constructor had not returned after 0.5 s (timeout.start)", 3),
    ("import asyncio\nasync def Handler(req):\n    await asyncio.sleep(600)\n", "the call had not returned", None),
])
def test_what_takes_too_long(folder, each_python, source, name, line):
    timeout = {"call": 0.5, "start": 0.5 if "constructor" in name else 60}
    done = once(folder, each_python, b"", source, config={"timeout": timeout})
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().startswith(name)
    assert line is None or f"handler.py\", line {line} in".encode() in done.stderr


@pytest.mark.alone
def test_the_time_of_a_call(folder, each_python):
    source = "def Handler(req): return str([4 < req.remaining() <= 5, req.cancelled, req.request_id])\n"
    assert once(folder, each_python, b"", source, config={"timeout": {"call": 5}}).stdout == b"[True, False, '']"


def test_standard_input_is_the_calls_alone(folder, each_python):
    source = ("import subprocess, sys\nclass Handler:\n    def __init__(self): self.first = sys.stdin.read()\n"
              "    def __call__(self, req):\n"
              "        return req.input + repr([self.first, subprocess.check_output('cat')]).encode()\n")
    done = once(folder, each_python, b"data", source)
    assert done.stdout == b"data['', b'']", done.stderr


def test_a_status_that_was_chosen(folder, each_python):
    done = once(folder, each_python, b"", handler("import dcf\nraise dcf.Error('NOT_FOUND', 'no')"))
    assert (done.returncode, done.stderr) == (1, b"NOT_FOUND: no (handler.py:4)\n")


def test_an_interrupt(folder, python):
    (folder / "handler.py").write_text(handler("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\n"
                                               "time.sleep(600)"))
    done = once(folder, python)
    assert done.returncode == 130


def test_it_stays_in_the_terminals_group(folder, python):
    import os
    done = once(folder, python, b"", handler("import os; return str(os.getpgrp())"))
    assert done.stdout == str(os.getpgrp()).encode()


def test_a_large_reply_into_a_closed_pipe(folder, python):
    (folder / "handler.py").write_text(handler("return b'x' * 10_000_000"))
    process = subprocess.Popen([WATCHER, "--once", "--python", python], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={"HANDLER_DIR": str(folder), "PATH": "/usr/bin:/bin"})
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() in (1, -signal.SIGPIPE)
    process.stderr.close()
