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


def test_an_interrupt(folder, python):
    (folder / "handler.py").write_text(handler("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\n"
                                               "time.sleep(600)"))
    done = once(folder, python)
    assert done.returncode == 130


def test_it_stays_in_the_terminals_group(folder, python):
    import os
    assert once(folder, python, b"", handler("import os; return str(os.getpgrp())")).stdout == str(os.getpgrp()).encode()


def test_a_large_reply_into_a_closed_pipe(folder, python):
    (folder / "handler.py").write_text(handler("return b'x' * 10_000_000"))
    process = subprocess.Popen([WATCHER, "--once", "--python", python], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={"HANDLER_DIR": str(folder), "PATH": "/usr/bin:/bin"})
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() in (1, -signal.SIGPIPE)
    process.stderr.close()
