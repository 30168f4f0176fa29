"""From the author's folder to a handler: how it is found and constructed, and the messages when that fails."""
import subprocess

import pytest

import frames
from replica import once, settings

CALL = "\n    def __call__(self, req): return repr(self.got)\n"


def failed(replica):
    answer = replica.ready()
    assert answer.kind == frames.FAILED, answer
    head = frames.Head(answer.head)
    stage, summary = head.number("B"), head.string()
    head.end()
    assert replica.ended()
    assert replica.status() == 1
    return stage, summary, answer.payload.decode()


@pytest.mark.parametrize("init, got", [
    ("", "none"),
    ("def __init__(self): pass", "none"),
    ("def __init__(self, parameters): self.got = parameters", "{'factor': 2}"),
    ("def __init__(self, anything): self.got = anything", "{'factor': 2}"),
    ("def __init__(self, anything, /): self.got = anything", "{'factor': 2}"),
    ("def __init__(self, parameters=None): self.got = parameters", "{'factor': 2}"),
    ("def __init__(self, *, parameters): self.got = parameters", "{'factor': 2}"),
    ("def __init__(self, depth=3, parameters=None): self.got = depth, parameters", "(3, {'factor': 2})"),
    ("def __init__(self, other=5): self.got = other", "5"),
    ("def __init__(self, *args, **named): self.got = args, named", "((), {})"),
    ("@decorate\n    def __init__(self, parameters): self.got = parameters", "{'factor': 2}"),
    ("@decorate\n    def __init__(self): self.got = 1", "1"),
])
def test_how_a_class_is_constructed(start, each_python, init, got):
    source = f"""import functools
def decorate(function):
    @functools.wraps(function)
    def inner(*args, **named): return function(*args, **named)
    return inner
class Handler:
    got = "none"
    {init}
{CALL}"""
    reply = start(source, python=each_python).started().reply()
    assert reply.decode().strip("'\"") == got


@pytest.mark.parametrize("source, expected", [
    ("def Handler(req): return b'plain ' + req.input", b"plain x"),
    ("Handler = lambda req: req.input * 2", b"xx"),
    ("import functools\ndef f(a, req): return a + req.input\nHandler = functools.partial(f, b'partial ')",
     b"partial x"),
    ("class K:\n    def __call__(self, req): return b'object'\nHandler = K()", b"object"),
    ("class Base:\n    def __call__(self, req): return b'inherited'\nclass Handler(Base): pass", b"inherited"),
    ("class Handler:\n    @staticmethod\n    def __call__(req): return b'static'", b"static"),
])
def test_other_handlers(start, source, expected):
    assert start(source).started().reply(b"x") == expected


def test_helpers_and_data_files_beside_the_handler(start, folder):
    (folder / "helper.py").write_text("WORD = 'helped'\n")
    (folder / "data.txt").write_text("data")
    (folder / "handler.py").write_text(
        "import helper, os, sys\ndata = open('data.txt').read()\n"
        "def Handler(req): return ' '.join([helper.WORD, data, __name__, os.path.basename(__file__), sys.path[0],"
        " os.getcwd(), sys.argv[0], str([k for k in os.environ if k.startswith('DCF_')])])\n")
    path = str(folder)
    assert start().started().reply().decode() == f"helped data handler handler.py {path} {path} {path}/handler.py []"


def test_another_file_and_name(start, folder):
    (folder / "my-model.py").write_text("def predict(req): return __name__\n")
    assert start(file="my-model.py", name="predict").started().reply() == b"my-model"


def test_a_full_path_as_file(start, folder):
    (folder / "sub").mkdir()
    (folder / "sub/other.py").write_text("def Handler(req): return __file__\n")
    path = f"{folder}/sub/other.py"
    assert start(file=path).started().reply().decode() == path


def test_a_file_named_like_a_module_that_is_in_use(start, folder):
    (folder / "json.py").write_text("def Handler(req): return __name__\n")
    assert start(file="json.py").started().reply().endswith(b"json")


# Handlers in subfolders and packages.

UP = "def up(data):\n    return data.upper()\n"
PLAIN = "import helper\ndef Handler(req):\n    return helper.up(req.input)\n"
RELATIVE = "from .helper import up\ndef Handler(req):\n    return up(req.input)\n"


@pytest.mark.parametrize("place, packages, source, name", [
    # Like a script: the file's own folder comes first on sys.path.
    ("src/", [], PLAIN, "handler"),
    ("a/b/c/", [], PLAIN, "handler"),
    ("", [], PLAIN, "handler"),
    ("", [""], PLAIN, "handler"),
    # In packages: like python -m.
    ("src/", ["src/"], RELATIVE, "src.handler"),
    ("src/", ["src/"], PLAIN, "src.handler"),
    ("src/", ["src/"], "import src.helper as helper\nfrom src import helper as same\n"
                       "assert helper is same\n" + PLAIN[14:], "src.handler"),
    ("a/b/", ["a/", "a/b/"], RELATIVE, "a.b.handler"),
    ("a/b/", ["a/b/"], RELATIVE, "b.handler"),
    ("a/b/", ["a/", "a/b/"], "from ..b.helper import up\nfrom .. import b\n" + RELATIVE, "a.b.handler"),
    # With a relative import.
    ("src/", [], RELATIVE, "src.handler"),
    ("src/", [], "try:\n    from . import helper\nexcept OSError: pass\n" + PLAIN[14:], "src.handler"),
    ("", [""], RELATIVE, "dcf_function.handler"),
    ("", [], RELATIVE, "dcf_function.handler"),
    ("", [], "from.helper import up\nimport handler, sys\n"
             "assert handler is sys.modules[__name__]\n" + RELATIVE[22:], "dcf_function.handler"),
])
def test_where_a_handler_may_be(start, folder, each_python, place, packages, source, name):
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / place / "helper.py").write_text(UP)
    for each in packages:
        (folder / each / "__init__.py").touch()
    (folder / "root.py").write_text("WHERE = __file__\n")
    (folder / place / "handler.py").write_text(
        source + "import inspect, pickle, root, sys\nfrom dataclasses import dataclass\n"
                 "from typing import get_type_hints\n"
        "@dataclass\nclass Point:\n    x: 'int' = 1\n    y: 'Point' = None\n"
        "assert pickle.loads(pickle.dumps(Point(3))) == Point(3) and get_type_hints(Point)['y'] is Point\n"
        "assert 'class Point' in inspect.getsource(Point) and inspect.getsource(sys.modules[__name__])\n"
        "assert sys.modules[__name__].Point is Point and __spec__.name == __name__ and __spec__.origin == __file__\n"
        f"assert __name__ == {name!r} and (__package__ or '') == {name.rpartition('.')[0]!r}, (__name__, __package__)\n"
        "if __name__ == '__main__': raise SystemExit\n")
    replica = start(file=place + "handler.py", python=each_python).started()
    assert replica.reply(b"x") == b"X"
    done = once(folder, each_python, b"x", environment={"HANDLER_FILE": place + "handler.py"})
    assert (done.returncode, done.stdout) == (0, b"X"), done.stderr


def test_a_package_that_is_the_handler(start, folder):
    (folder / "pkg").mkdir()
    (folder / "pkg/__init__.py").write_text(RELATIVE + "assert __name__ == 'pkg'\n")
    (folder / "pkg/helper.py").write_text(UP)
    assert start(file="pkg/__init__.py").started().reply(b"x") == b"X"


def test_a_package_that_imports_its_handler(start, folder):
    (folder / "pkg").mkdir()
    (folder / "pkg/__init__.py").write_text("from .handler import Handler\nprint('package')\n")
    (folder / "pkg/handler.py").write_text("print('handler')\n" + RELATIVE)
    (folder / "pkg/helper.py").write_text(UP)
    replica = start(file="pkg/handler.py").started()
    assert replica.reply(b"x") == b"X"
    replica.drain()
    assert replica.status() == 0
    assert replica.out.all() == b"handler\npackage\n"


def test_a_packages_files_hide_nothing(start, folder, each_python):
    """Files of a package with names of the standard library hide nothing outside the package."""
    (folder / "pkg").mkdir()
    (folder / "pkg/__init__.py").touch()
    for name in ("types", "queue", "json", "asyncio", "threading"):
        (folder / f"pkg/{name}.py").write_text("WHO = 'author'\n")
    (folder / "pkg/handler.py").write_text("import asyncio, json, queue, threading\nfrom . import json as own\n"
                                           "def Handler(req): return own.WHO + json.dumps({}) + queue.Queue.__name__\n")
    assert start(file="pkg/handler.py", python=each_python).started().reply() == b"author{}Queue"


def test_a_fault_in_a_subfolder_names_its_path(start, folder):
    (folder / "src").mkdir()
    (folder / "src/handler.py").write_text("def Handler(req): raise ValueError('x')\n")
    message = start(file="src/handler.py").started().error().message
    assert message.startswith("ValueError: x (src/handler.py:1 in Handler)")


def test_a_constructor_that_goes_elsewhere_before_a_warm_up_file(start, folder):
    (folder / "first.bin").write_bytes(b"warm")
    source = ("import os\nclass Handler:\n    def __init__(self):\n        os.chdir('/')\n"
              "    def __call__(self, req):\n"
              "        print(req.input.decode())\n        return req.input\n")
    replica = start(source, settings=settings(warmup={"file": "first.bin"})).started()
    replica.out.wait_for(b"warm\n")
    done = once(folder, replica.python, b"x", config={"warmup": {"file": "first.bin"}})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"x", b"warm\nx\n")


def test_what_the_constructor_prints_has_no_request(start):
    replica = start("class Handler:\n    def __init__(self): print('made')\n    def __call__(self, req): return b''\n")
    replica.started()
    assert replica.out.wait_for(b"made\n") == b"made\n"


def test_pickle_finds_classes_of_the_handler(start):
    assert start("import pickle\nclass Point: x = 1\n"
                 "def Handler(req): return str(pickle.loads(pickle.dumps(Point())).x)\n").started().reply() == b"1"


def test_a_constructor_that_raises(start, each_python):
    source = """
class Handler:
    def __init__(self):
        self.load()
    def load(self):
        raise ValueError("bad weights")
    def __call__(self, req):
        return b""
"""
    replica = start(source, python=each_python)
    stage, summary, traceback = failed(replica)
    assert (stage, summary) == (2, "ValueError: bad weights (handler.py:6)")
    assert traceback.startswith("Traceback (most recent call last):\n"
                                "  File \"" + str(replica.folder) + "/handler.py\", line 4")
    assert traceback.endswith("ValueError: bad weights\n")
    assert "<dcf>" not in traceback
    assert replica.err.all().decode() == traceback


@pytest.mark.parametrize("source, stage, summary", [
    ("import no_such_module\n", 1, "ModuleNotFoundError: No module named 'no_such_module' (handler.py:1)"),
    ("x = 1\nraise SystemExit(3)\n", 1, "SystemExit: 3 (handler.py:2)"),
    ("class Handler:\n    def __call__(self, req:\n", 1, None),
    ("def helper(req): pass\n", 3, "handler.py has no Handler; it defines helper; see handler.name"),
    ("Handler = 5\n", 3, "handler.py has a Handler that cannot be called; see handler.name"),
    ("class Handler:\n    pass\n", 3, "class Handler in handler.py cannot be called: it needs def __call__(self, req)"),
    (None, 3, None),
])
def test_a_handler_that_cannot_be_had(start, each_python, source, stage, summary):
    replica = start(source, python=each_python)
    got_stage, got_summary, traceback = failed(replica)
    assert got_stage == stage
    if summary is not None:
        assert got_summary == summary
    elif source is None:
        assert got_summary == f"handler.py is not in {replica.folder}; see handler.file and handler.dir"
    else:
        assert got_summary.startswith("SyntaxError: ") and got_summary.endswith(("(handler.py:2)", "(handler.py:3)"))
    assert "<dcf>" not in traceback and "<frozen" not in traceback
    assert (traceback == "") == (stage == 3)
    assert replica.err.all()


def test_a_folder_that_is_not_there(start, folder):
    stage, summary, _ = failed(start("", environment={"HANDLER_DIR": "/no/such/folder"}))
    assert (stage, summary) == (3, "the handler's folder /no/such/folder: No such file or directory")


def test_a_venv_keeps_its_prefix_and_packages(start, folder, each_python):
    made = subprocess.run([each_python, "-m", "venv", "--without-pip", folder / "venv"], capture_output=True)
    if made.returncode != 0:
        pytest.skip("this Python has no venv module: " + made.stderr.decode()[-200:])
    packages = next((folder / "venv/lib").glob("python3*/site-packages"))
    (packages / "only_here.py").write_text("WHERE = __file__\n")
    python = folder / "venv/bin/python3"
    replica = start("import sys, only_here\n"
                    "def Handler(req): return '\\n'.join([sys.prefix, sys.executable, only_here.WHERE])\n",
                    python=python).started()
    assert replica.reply().decode().split("\n") == [str(folder / "venv"), str(python), str(packages / "only_here.py")]
