"""A function does the same with `dcf function run` and when it is deployed: the same tests run for both."""
import ast
import dataclasses
import itertools
import pathlib
import tempfile

import pytest

from support.gateway import dcf, write_function
from support.waiting import wait_until

pytestmark = pytest.mark.process

NUMBERS = itertools.count()


@dataclasses.dataclass
class Outcome:
    """Of one call: whether there was a reply, the reply, and what the author and the caller are told."""

    ok: bool
    reply: bytes
    error: str
    #: What the function's processes printed, once they have ended.
    printed: callable

    def value(self):
        assert self.ok, self.error
        return ast.literal_eval(self.reply.decode())


def run(gateway, tmp_path, name, files, config, data):
    path = write_function(tmp_path / name, name, files=files, config=config)
    environment = {"DCF_GATEWAY": "127.0.0.1:9", "XDG_CACHE_HOME": str(tmp_path / "cache"), "LC_ALL": "C.UTF-8",
                   "TMPDIR": "/nowhere"}
    done = dcf("function", "run", name, "-f", str(path), input=data, environment=environment, check=False)
    return Outcome(done.returncode == 0, done.stdout, done.error, lambda wanted: done.error)


def deployed(gateway, tmp_path, name, files, config, data):
    done = gateway.deploy(name, files=files, config=config, check=False)
    if done.returncode:
        return Outcome(False, done.stdout, done.error, lambda wanted: done.error)
    done = gateway.dcf("function", "call", name, input=data, check=False)

    def printed(wanted):
        gateway.dcf("function", "restart", name)
        return wait_until(lambda: wanted in (text := gateway.client.log(name)) and text, 20, f"{wanted!r} in the log")

    return Outcome(done.returncode == 0, done.stdout, done.error, printed)


@pytest.fixture(params=[run, deployed], ids=["run", "deployed"])
def call(request, gateway, tmp_path):
    """Calls a function once: a handler's source or its files, with a config, and the call's input."""

    def calling(source, data=b"x", **config):
        files = {"handler.py": source} if isinstance(source, str) else source
        return request.param(gateway, tmp_path, f"alike-{next(NUMBERS)}", files, config, data)

    yield calling


def test_what_a_handler_finds(call):
    found = call("""
import os, signal, sys, tempfile
def Handler(req):
    mask = os.umask(0)
    os.umask(mask)
    return repr({
        "folder": os.getcwd() == os.path.dirname(__file__) == sys.path[0] == os.path.realpath(sys.path[0]),
        "file": os.path.basename(__file__), "name": __name__, "argv": [os.path.basename(each) for each in sys.argv],
        "input": sys.stdin.read(), "umask": mask, "temporary": tempfile.gettempdir(),
        "variables": sorted(set(os.environ) - {"LC_CTYPE", "LANG", "HOME", "TZ", "LC_ALL", "TMPDIR"}),
        "main": sys.modules["__main__"].__name__,
        "signals": [int(signal.getsignal(each)) for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)],
        "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "type": type(req.input).__name__,
        "streams": [type(each).__name__ for each in (sys.stdout, sys.stderr)], "encoding": sys.stdout.encoding,
    })
""", environment=["OWN=1"], limits={"cpu": 1}).value()
    variables = found.pop("variables")
    # Of the gateway, and of dcf, which was given none that exists.
    assert found.pop("temporary") in (tempfile.gettempdir(), "/tmp")
    assert found == {
        "folder": True, "file": "handler.py", "name": "handler", "argv": ["handler.py"], "input": "", "umask": 0o022,
        "main": "__main__", "signals": [0, 0, 1], "blocked": [], "type": "bytes",
        "streams": ["LogText", "LogText"], "encoding": "utf-8"}
    assert {"OWN", "PATH", "HANDLER_DIR", "HANDLER_FILE", "HANDLER_NAME", "OMP_NUM_THREADS"} == {
        name for name in variables if not name.lower().endswith("_proxy")}


def test_parameters_and_info(call):
    assert call("""
class Handler:
    def __init__(self, parameters): self.parameters = parameters
    def __call__(self, req):
        limits = dict(req.info.limits)
        return repr([self.parameters, req.info.timeout, limits, 29 < req.remaining() <= 30, req.cancelled])
""", parameters={"a": [1, "x"]}, timeout={"call": "30s", "start": "20s"}, limits={"memory": "1G"}).value() == [
        {"a": [1, "x"]}, {"call": 30.0, "start": 20.0}, {"memory": 1 << 30, "cpu": None, "gpu": 0}, True, False]


@pytest.mark.parametrize("source, config, reply", [
    ("def Handler(req):\n    for piece in ('a', 'b'): yield piece\n", {}, b"ab"),
    ("async def Handler(req): return req.input * 2\n", {}, b"xx"),
    ("async def Handler(req):\n    yield b'a'\n    yield req.input\n", {}, b"ax"),
    ("def Handler(reqs): return [req.input + b'%d' % len(reqs) for req in reqs]\n", {"batch": {"max_size": 4}}, b"x1"),
    ("class Handler:\n    warm = b'cold'\n    def __init__(self):\n        import os; os.chdir('/')\n"
     "    def __call__(self, req):\n"
     "        warm, self.warm = self.warm, req.input\n        return warm\n", {"warmup": {"file": "first.bin"}},
     b"warm"),
    ("class Handler:\n    warm = b'cold'\n    def __call__(self, req):\n"
     "        warm, self.warm = self.warm, req.input\n"
     "        return warm\n", {"warmup": {"input": "warm"}}, b"warm"),
], ids=["generator", "async", "async generator", "batch", "warm-up file", "warm-up input"])
def test_styles(call, source, config, reply):
    outcome = call({"handler.py": source, "first.bin": "warm"}, **config)
    assert (outcome.ok, outcome.reply) == (True, reply), outcome.error


@pytest.mark.parametrize("files, config", [
    ({"src/handler.py": "import helper\ndef Handler(req): return helper.up(req.input)\n",
      "src/helper.py": "def up(data): return data.upper()\n"},
     {"handler": {"file": "src/handler.py"}}),
    ({"src/handler.py": "from .helper import up\ndef Handler(req): return up(req.input)\n", "src/__init__.py": "",
      "src/helper.py": "def up(data): return data.upper()\n"}, {"handler": {"file": "src/handler.py"}}),
    ({"handler.py": "from .helper import up\ndef Handler(req): return up(req.input)\n", "__init__.py": "",
      "helper.py": "def up(data): return data.upper()\n"}, {}),
    ({"json.py": "import queue\ndef Handler(req): return queue.up(req.input)\n",
      "queue.py": "def up(data): return data.upper()\n"},
     {"handler": {"file": "json.py"}}),
], ids=["folder", "package", "the folder itself", "names of the standard library"])
def test_places_and_names(call, files, config):
    outcome = call(files, **config)
    assert (outcome.ok, outcome.reply) == (True, b"X"), outcome.error


@pytest.mark.parametrize("source, words", [
    ("def Handler(req): raise ValueError('bad input')\n", "ValueError: bad input"),
    ("def Handler(req): return {}\n",
     "the handler returned a dict; a reply is str, bytes or another bytes-like object: "
     "return json.dumps(reply) for JSON"),
    ("import sys\ndef Handler(req): sys.exit(3)\n", "SystemExit: 3"),
    ("import dcf\ndef Handler(req): raise dcf.Error('NOT_FOUND', 'not here')\n", "NOT_FOUND: not here"),
    ("class Handler:\n    def __init__(self): raise OSError('no weights')\n    def __call__(self, req): pass\n",
     "OSError: no weights"),
    ("import time\ndef Handler(req): time.sleep(60)\n", "in Handler"),
    ("class Handler: pass\n", "class Handler in handler.py cannot be called: it needs def __call__(self, req)"),
])
def test_errors_words(call, source, words):
    outcome = call(source, timeout={"call": "1s"})
    assert not outcome.ok
    assert words in outcome.error or words in outcome.printed(words)


def test_a_constructors_traceback_is_shown_once_with_the_authors_file(call):
    outcome = call(
        "class Handler:\n    def __init__(self): raise OSError('no weights')\n    def __call__(self, req): pass\n")
    assert not outcome.ok and outcome.error.count("Traceback (most recent call last)") == 1
    assert outcome.error.count("raise OSError") == 1
    (line,) = [line for line in outcome.error.splitlines() if line.startswith("  File ")]
    path = line.split('"')[1]
    assert pathlib.Path(path).read_text().startswith("class Handler") and "/functions/" not in path


def test_what_is_printed_and_done_at_the_end(call, tmp_path):
    file = tmp_path / "notes"
    outcome = call(f"""
import atexit, io, sys, threading, time
sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
def note(text):
    with open({str(file)!r}, "a") as file: file.write(text + "\\n")
atexit.register(note, "exit")
def later():
    time.sleep(0.5)
    note("thread")
class Handler:
    def __call__(self, req):
        print("printed")
        print("", end="")
        sys.stderr.write("")
        threading.Thread(target=later).start()
        return b"done"
    def close(self): note("close")
""")
    assert (outcome.ok, outcome.reply) == (True, b"done"), outcome.error
    text = outcome.printed("printed\n")
    assert [line for line in text.splitlines() if not line.startswith("dcf: ")].count("") == 0
    wait_until(lambda: file.exists() and file.read_text() in ("close\nthread\nexit\n", "thread\nclose\nexit\n"), 20,
               "the end")


def test_children_are_interrupted_as_usual(call):
    outcome = call("""
import signal, subprocess, sys
CHILD = ("import time\\ntry:\\n    print('up', flush=True)\\n    time.sleep(60)\\n"
         "except KeyboardInterrupt: print('stopped in good order')")
def Handler(req):
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    return child.communicate(timeout=20)[0]
""")
    assert outcome.reply == b"stopped in good order\n", outcome.error
