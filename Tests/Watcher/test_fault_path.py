"""Faults of handlers that have used up, removed or replaced what the runtime needs to describe a fault."""
import pytest

import frames
from test_calls import handler

STYLES = {
    "plain": "def Handler(req):\n",
    "async": "async def Handler(req):\n",
    "generator": "def Handler(req):\n    if req.input == b'never': yield b''\n",
}

SPOILERS = {
    "descriptors": "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\nkept = []\n"
                   "while True:\n    try: kept.append(open('/dev/null'))\n    except OSError: break",
    "folder": "import os, shutil\nshutil.rmtree(os.path.dirname(__file__)); os.chdir('/')",
    "streams": "import sys\nsys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None",
    "modules": "import sys\nsys.modules.clear()",
    "path": "import sys\n"
            "sys.path.clear(); sys.meta_path.clear(); sys.path_hooks.clear(); sys.path_importer_cache.clear()",
    "builtins": "import builtins\nnames = vars(builtins)\nfor name in list(names):\n"
                "    if not name.startswith('__') and name != 'ValueError': names.pop(name)",
    "traceback": "import traceback\nfor name in list(vars(traceback)):\n"
                 "    if not name.startswith('__'): delattr(traceback, name)",
    "linecache": "import linecache\nlinecache.checkcache = linecache.getline = linecache.getlines = None",
    "lying traceback": "import traceback\ntraceback.TracebackException.format = lambda *_, **__: iter([])",
    "os": "import os, posix\nfor module in os, posix:\n    for name in list(vars(module)):\n"
          "        if not name.startswith('__') and name != 'environ': delattr(module, name)",
    "time": "import time\ntime.time = time.sleep = time.perf_counter = None",
    "clock": "import time\ntime.monotonic = None",
    "threading": "import threading, _thread\n"
                 "threading.Thread = threading.Lock = _thread.RLock = _thread.get_ident = None",
    "signal": "import signal, _signal\nsignal.signal = _signal.signal = _signal.setitimer = None",
    "io": "import io, _io, codecs\nio.StringIO = io.open = _io.open = codecs.lookup = codecs.encode = None",
    "import": "import builtins\nbuiltins.__import__ = None",
    "hooks": "import sys\nsys.excepthook = sys.unraisablehook = sys.displayhook = None",
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", SPOILERS)
def test_a_fault_after_all_was_spoilt(start, style, name):
    if style == "async" and name in ("clock", "builtins"):
        pytest.skip("asyncio itself needs it")
    spoiler = "".join(f"    {line}\n" for line in SPOILERS[name].split("\n"))
    source = STYLES[style] + spoiler + "    raise ValueError('the reason')\n"
    replica = start(source).started()
    wanted = f"ValueError: the reason (handler.py:{len(source.splitlines())} in Handler)"
    for id in (1, 2):
        error = replica.error(id=id)
        # The second call may fail for another reason, because of what the first one has spoilt.
        if id == 1 or name in ("streams", "time", "signal", "lying traceback", "linecache"):
            assert (error.code, error.executed) == (frames.UNKNOWN, frames.YES)
            assert error.message.split("\n")[0] == wanted
            assert "Traceback (most recent call last):\n" in error.traceback
            assert f"handler.py\", line {len(source.splitlines())}, in Handler\n" in error.traceback
            assert "raise ValueError('the reason')" in error.traceback
    replica.err.wait_for(b"ValueError: the reason")


@pytest.mark.parametrize("name", ["descriptors", "folder", "modules", "builtins", "traceback", "os"])
def test_a_constructors_fault_after_all_was_spoilt(start, each_python, name):
    spoiler = "".join(f"        {line}\n" for line in SPOILERS[name].split("\n"))
    source = ("class Handler:\n    def __init__(self):\n" + spoiler
              + "        raise ValueError('the reason')\n    def __call__(self, req): pass\n")
    replica = start(source, python=each_python)
    answer = replica.ready()
    assert answer.kind == frames.FAILED
    assert b"ValueError: the reason (handler.py:" in answer.head
    assert b"raise ValueError('the reason')" in answer.payload
    assert replica.status() == 1
    assert b"ValueError: the reason" in replica.err.all()


EXCEPTIONS = {
    "str raises": "class E(Exception):\n    def __str__(self): raise ValueError",
    "repr raises": "class E(Exception):\n    def __repr__(self): raise ValueError",
    "str and repr raise": "class E(Exception):\n    def __repr__(self): raise ValueError\n    __str__ = __repr__",
    "str recurses": "class E(Exception):\n    def __str__(self): return str(self)",
    "str exits": "class E(Exception):\n    def __str__(self): raise SystemExit(3)",
    "str is no text": "class E(Exception):\n    def __str__(self): return 5",
    "str of a class of its own": "class S(str):\n    def __getattribute__(self, name): raise ValueError\n"
                                 "    def __len__(self): raise ValueError\n"
                                 "    def __radd__(self, other): raise ValueError\nclass E(Exception):\n"
                                 "    def __str__(self): return S('sub')",
    "class raises": "class E(Exception):\n    @property\n    def __class__(self): raise ValueError",
    "class lies": "class E(Exception):\n    __class__ = int",
    "args raise": "class E(Exception):\n    @property\n    def args(self): raise ValueError",
    "cause raises": "class E(Exception):\n    @property\n    def __cause__(self): raise ValueError\n"
                    "    __context__ = __suppress_context__ = __cause__",
    "traceback raises": "class E(Exception):\n    @property\n    def __traceback__(self): raise ValueError",
    "notes raise": "class E(Exception):\n    @property\n    def __notes__(self): raise ValueError",
    "notes are no list": "class E(Exception):\n    __notes__ = 5",
    "notes are no text": "class E(Exception):\n    def __init__(self): self.__notes__ = [5, None, '\\ud800', 'a note']",
    "all attributes raise": "class E(Exception):\n    def __getattribute__(self, name): raise ValueError",
    "a class that hides its name": "class M(type):\n    def __getattribute__(cls, name): raise ValueError\n"
                                   "class E(Exception, metaclass=M): pass",
    "a name of another kind": "class E(Exception): pass\nE.__module__ = 5",
    "huge": "class E(Exception):\n    def __str__(self): return 'x' * 30_000_000",
    "surrogates": "class E(Exception):\n    def __str__(self): return '\\ud800\\udfff' * 1000",
    "zeros and controls": "class E(Exception):\n    def __str__(self): return '\\0\\x1e\\x1f\\r\\n\\x1b[31m'",
    "many lines": "class E(Exception):\n    def __str__(self): return 'line\\n' * 100_000",
    "hash and eq raise": "class E(Exception):\n    def __hash__(self): raise ValueError\n"
                         "    def __eq__(self, other): raise ValueError\n"
                         "    def __bool__(self): raise ValueError\n    def __len__(self): raise ValueError",
    "a dcf.Error that is not whole": "import dcf\nclass E(dcf.Error):\n    def __init__(self): pass",
    "a dcf.Error with other fields": "import dcf\nclass E(dcf.Error):\n"
                                     "    def __init__(self): self.number, self.message, self.code = 'x', 5, None",
    "a SyntaxError that is not whole": "class E(SyntaxError):\n"
                                       "    def __init__(self): self.filename, self.lineno, self.msg = 5, 'x', 7",
    "an import error": "class E(ImportError):\n    def __init__(self): self.name = self.path = 5; self.name_from = 7",
    "a name error": "class E(NameError):\n    def __init__(self): self.name = 5",
    "an attribute error": "class O:\n    def __dir__(self): raise ValueError\nclass E(AttributeError):\n"
                          "    def __init__(self): super().__init__('x', name='y', obj=O())",
}


@pytest.mark.parametrize("prefix", ["", "async "])
@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_that_can_hardly_be_described(start, name, prefix):
    source = EXCEPTIONS[name] + f"\n{prefix}def Handler(req):\n    if req.input: return req.input\n    raise E()\n"
    replica = start(source).started()
    error = replica.error()
    assert (error.code, error.executed) == (frames.UNKNOWN, frames.YES)
    line = len(source.splitlines())
    assert f"(handler.py:{line} in Handler)" in error.message
    assert f"handler.py\", line {line}, in Handler" in error.traceback
    assert len(error.traceback) < 200_000 and "<dcf>" not in error.traceback
    encoded = sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in error.message.encode())
    assert encoded < 1600
    assert replica.reply(b"goes on", id=2) == b"goes on"


@pytest.mark.parametrize(
    "name", ["str raises", "class raises", "all attributes raise", "huge", "notes are no text", "a name error"])
def test_the_same_on_each_python(start, each_python, name):
    source = EXCEPTIONS[name] + "\ndef Handler(req):\n    if req.input: return req.input\n    raise E()\n"
    replica = start(source, python=each_python).started()
    assert f"(handler.py:{len(source.splitlines())} in Handler)" in replica.error().message
    assert replica.reply(b"goes on", id=2) == b"goes on"


CHAINS = {
    "a circle of causes": "a, b = ValueError('a'), KeyError('b')\na.__cause__ = b\nb.__cause__ = a\nraise a",
    "its own cause": "a = ValueError('a')\na.__cause__ = a\nraise a",
    "a thousand causes": "a = ValueError('a')\nlast = a\nfor i in range(1000):\n    last.__cause__ = KeyError(i)\n"
                         "    last = last.__cause__\nraise a",
    "a thousand contexts": "def f(n):\n    try:\n        if n: f(n - 1)\n        else: 1 / 0\n"
                           "    except Exception: raise ValueError('a')\nf(150)",
    "deep recursion": "def f(n): return f(n + 1)\ntry: f(0)\n"
                      "except RecursionError as error: raise ValueError('a') from error",
    "a hundred thousand frames of tb": "def f(n):\n    if n == 0: raise ValueError('a')\n    f(n - 1)\nf(900)",
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains(start, each_python, name):
    replica = start(handler(CHAINS[name]), python=each_python).started()
    error = replica.error()
    assert error.message.startswith("ValueError: a (handler.py:"), error.message
    assert error.traceback.rstrip().endswith("ValueError: a") and len(error.traceback) < 200_000
    assert replica.error(id=2).message == error.message


def test_groups(start, each_python):
    if each_python.rpartition("python")[2] in ("3.9", "3.10"):
        pytest.skip("Python 3.11 brought them")
    replica = start(handler("""
def deep(n): return ExceptionGroup('deep', [deep(n - 1) if n else ValueError('inmost')])
group = ExceptionGroup('many', [ValueError('first'), ExceptionGroup('inner', [KeyError(i) for i in range(100)])])
group.add_note('a note')
raise group if req.input else deep(50)"""), python=each_python).started()
    error = replica.error(b"x")
    assert error.message.startswith("ExceptionGroup: many (2 sub-exceptions) (handler.py:")
    assert all(word in error.traceback for word in ("ValueError: first", "KeyError: 3", "a note"))
    assert replica.error(id=2).message.startswith("ExceptionGroup: deep (1 sub-exception)")


@pytest.mark.parametrize("statement", [
    "kept = []\nwhile True: kept.append(bytes(1 << 20))",
    "kept = []\nwhile True: kept.append(object())",
    "global kept\nkept = []\nwhile True: kept.append(bytes(1000))",
    "bytes(1 << 50)",
])
def test_no_memory(start, each_python, statement):
    source = ("import resource\ndef Handler(req):\n"
              "    resource.setrlimit(resource.RLIMIT_AS, (1 << 29, resource.RLIM_INFINITY))\n"
              + "".join(f"    {line}\n" for line in statement.split("\n")))
    replica = start(source, python=each_python).started()
    error = replica.error()
    assert (error.code, error.executed) == (frames.UNKNOWN, frames.YES)
    assert error.message.startswith("MemoryError (handler.py:"), error.message


@pytest.mark.parametrize("reply", [
    "class R:\n    @property\n    def __class__(self): raise ValueError",
    "class R:\n    def __getattribute__(self, name): raise ValueError",
    "class M(type):\n    def __getattribute__(cls, name): raise ValueError\nclass R(metaclass=M): pass",
])
def test_a_reply_that_can_hardly_be_described(start, reply):
    replica = start(reply + "\ndef Handler(req): return R()\n").started()
    error = replica.error()
    assert (error.code, error.executed) == (frames.INTERNAL, frames.YES)
    assert "a reply is str, bytes or another bytes-like object" in error.message
    assert replica.error(id=2).code == frames.INTERNAL


def test_nothing_is_imported_or_opened_when_a_fault_happens(start, each_python):
    """After the first call has begun, the description of a fault in the author's file opens and imports nothing."""
    replica = start("""
import sys
seen = []
def audit(event, arguments):
    if watching and event in ("import", "open", "os.listdir", "exec"):
        seen.append((event, str(arguments[0])[:60]))
watching = False
sys.addaudithook(audit)
def Handler(req):
    global watching
    if req.input:
        watching = False
        return str(seen)
    watching = True
    return helper([1 + 1, undefined_name])
""", python=each_python).started()
    assert "NameError" in replica.error().message
    assert replica.reply(b"tell", id=2) == b"[]"
