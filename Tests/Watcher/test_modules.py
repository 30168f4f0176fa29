"""Modules of the author's with the names of other modules: each import gives what it gives in plain Python.

That holds in every style of serving.
"""
import ast
import subprocess
import sys

import pytest

import frames
from replica import once, settings
from templates import Template

#: Prints, or returns, what an import of each name gives: the author's file or another. The author's files only print
#: their names.
PROBE = """
def found():
    import builtins
    got = {}
    for name in open(NAMES).read().split():
        try:
            module = builtins.__import__(name)
        except BaseException as error:
            got[name] = type(error).__name__
        else:
            got[name] = getattr(module, "WHO", "another")
    return repr(got)
"""

STYLES = {
    "one": ("def Handler(req):\n    return answer(req)\n", {}),
    "class": ("class Handler:\n    def __init__(self, parameters): pass\n"
              "    def __call__(self, req): return answer(req)\n"
              "    def close(self): pass\n", {}),
    "threads": ("def Handler(req):\n    return answer(req)\n", {"concurrency": 3}),
    "cancel": ("def Handler(req):\n    return answer(req)\n", {"concurrency": 2, "cancel": "raise"}),
    "generator": ("def Handler(req):\n    yield answer(req)\n", {}),
    "batch": ("def Handler(reqs):\n"
              "    return [answer(req) for req in reqs]\n", {"batch": {"max_size": 4, "retry": True}}),
    "async": ("async def Handler(req):\n    return answer(req)\n", {"concurrency": 3}),
    "async generator": ("async def Handler(req):\n    yield answer(req)\n", {"concurrency": 3}),
    "async batch": ("async def Handler(reqs):\n    return [answer(req) for req in reqs]\n",
                    {"batch": {"max_size": 4, "retry": True}}),
    "async close": ("class Handler:\n    def __call__(self, req): return answer(req)\n"
                    "    async def close(self): pass\n", {}),
}

ANSWER = """
def answer(req):
    if req.input == b"raise":
        raise ValueError("raised")
    if req.input == b"status":
        import dcf
        raise dcf.Error("NOT_FOUND", "nothing there")
    return found()
"""


def standard_names(python):
    source = "import sys; print(*sorted(getattr(sys, 'stdlib_module_names', ())))"
    names = subprocess.run([python, "-c", source], capture_output=True, text=True).stdout.split()
    return names or sorted(sys.stdlib_module_names)


def shadowed(folder, python, source):
    """Fills a folder with a handler and a file for each name of the standard library.

    Returns what plain Python imports there.
    """
    names = [name for name in standard_names(python) if name not in ("antigravity", "this")]
    for number, name in enumerate(names):
        if number % 7 == 3:
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(f"WHO = {name!r}\n")
        else:
            (folder / f"{name}.py").write_text(f"WHO = {name!r}\n")
    (folder / "names.txt").write_text("\n".join(names))
    probe = PROBE.replace("NAMES", repr(str(folder / "names.txt")))
    (folder / "handler.py").write_text(probe + ANSWER + source)
    (folder / "plain.py").write_text(probe + "print(found())\n")
    done = subprocess.run([python, folder / "plain.py"], capture_output=True, text=True, check=True)
    assert done.stdout.count("'another'") < len(names) // 2
    return ast.literal_eval(done.stdout)


def same(text, wanted):
    """Leaves out the names that fail in plain Python because an import in the standard library finds the author's file:
    they may work here if the runtime has loaded them before."""
    found = ast.literal_eval(text.decode())
    return {name: each for name, each in found.items() if not wanted[name].endswith("Error")} == {
        name: each for name, each in wanted.items() if not each.endswith("Error")}


def serves(replica, wanted):
    assert same(replica.reply(b"x"), wanted)
    error = replica.error(b"raise", id=2)
    assert error.message.startswith("ValueError: raised (handler.py:"), error
    assert error.traceback.startswith("Traceback (most recent call last):\n") and "<dcf>" not in error.traceback
    assert error.traceback.endswith("\nValueError: raised\n")
    error = replica.error(b"status", id=3)
    assert (error.code, error.message) == (frames.NOT_FOUND, "nothing there")
    assert same(replica.reply(b"x", id=4), wanted)
    replica.drain()
    assert replica.status() == 0
    assert replica.err.all().count(b"Traceback") == 1


@pytest.mark.parametrize("style", STYLES)
def test_files_called_like_all_of_the_standard_library(start, folder, python, style):
    source, others = STYLES[style]
    wanted = shadowed(folder, python, source)
    serves(start(settings=settings(**others)).started(), wanted)


@pytest.mark.parametrize("style", ["one", "async"])
def test_the_same_on_each_python(start, folder, each_python, style):
    source, others = STYLES[style]
    wanted = shadowed(folder, each_python, source)
    serves(start(python=each_python, settings=settings(**others)).started(), wanted)


def test_the_same_without_a_gateway(folder, each_python):
    wanted = shadowed(folder, each_python, STYLES["one"][0])
    done = once(folder, each_python, b"x")
    assert done.returncode == 0 and same(done.stdout, wanted), done.stderr
    done = once(folder, each_python, b"raise")
    assert (done.returncode, done.stdout) == (1, b"") and done.stderr.endswith(b"\nValueError: raised\n")


def test_the_same_in_a_template(folder, each_python):
    wanted = shadowed(folder, each_python, STYLES["one"][0])
    # The author's files do not hide preloaded modules.
    with Template(each_python, "queue", "logging", "concurrent.futures").ready() as template:
        serves(template.fork(folder).started(), wanted)
        template.control.close()


PAIRS = """
import sys
import {name}
def Handler(req):
    return str(getattr({name}, "WHO", "the standard library's"))
"""


@pytest.mark.parametrize("name", ["asyncio", "queue", "traceback", "contextlib", "types", "json", "selectors",
                                  "linecache", "threading", "socket", "mesh", "concurrent", "numbers"])
@pytest.mark.parametrize("has_own", [True, False])
def test_one_module(start, folder, name, has_own):
    """One file alone: a folder full of such files also breaks imports within the standard library."""
    if has_own:
        (folder / f"{name}.py").write_text("WHO = 'the author'\n")
    replica = start(PAIRS.format(name=name), settings=settings(concurrency=2)).started()
    assert replica.reply() == (b"the author" if has_own else b"the standard library's")


def test_what_the_runtime_has_loaded_is_not_loaded_twice(start, each_python):
    """The asyncio that the author imports runs the author's coroutines; its exceptions can be caught."""
    replica = start("""
import asyncio, concurrent.futures, json, sys, threading, traceback
import json.decoder
async def Handler(req):
    try:
        await asyncio.wait_for(asyncio.sleep(60), 0.01)
    except asyncio.TimeoutError:
        pass
    task = asyncio.ensure_future(asyncio.sleep(60))
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    threads = [each.name for each in threading.enumerate() if each is threading.main_thread()]
    try:
        json.loads("{")
    except json.decoder.JSONDecodeError:
        pass
    source = json.__spec__.loader.get_source("json")
    return str([await asyncio.to_thread(len, "abc"), threads, source[:3], json.decoder.__name__])
""", python=each_python).started()
    assert replica.reply().decode() == "[3, ['MainThread'], 'r\"\"', 'json.decoder']"
    replica.drain()
    assert replica.status() == 0


def test_modules_are_not_there_before_they_are_imported(start, each_python):
    """As in plain Python: the author's code does not see the modules that the runtime has imported for itself."""
    source = "import sys\nprint(sorted(set(sys.modules) - {'plain', 'handler'}))\n"
    replica = start(source + "def Handler(req): return b''\n", python=each_python).started()
    (replica.folder / "plain.py").write_text(source)
    command = [each_python, replica.folder / "plain.py"]
    plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert replica.out.wait_for(b"\n").decode() == plain


def test_main_is_empty(start, each_python):
    replica = start("import sys\ndef Handler(req): return str(sorted(set(vars(sys.modules['__main__']))))\n",
                    python=each_python).started()
    names = ast.literal_eval(replica.reply().decode())
    assert all(name.startswith("__") for name in names)


# The framework's own modules.

@pytest.mark.parametrize("place", ["folder", "package"])
def test_the_frameworks_dcf_comes_first_and_says_so(start, folder, place):
    if place == "folder":
        (folder / "dcf.py").write_text("WHO = 'author'\n")
        file = folder / "dcf.py"
    else:
        (folder / "dcf").mkdir()
        file = folder / "dcf/__init__.py"
        file.write_text("WHO = 'author'\n")
    replica = start("import dcf\ndef Handler(req): raise dcf.Error('NOT_FOUND', 'no')\n").started()
    assert replica.error().code == frames.NOT_FOUND
    line = f"dcf-watcher: import dcf gives the framework's module, not {file}; give that another name\n"
    assert replica.err.wait_for(b"another name\n").decode().startswith(line)


def test_a_dcf_that_nobody_imports_is_not_spoken_of(start, folder):
    (folder / "dcf.py").write_text("WHO = 'author'\n")
    replica = start("def Handler(req): return b''\n").started()
    replica.drain()
    assert replica.status() == 0
    assert replica.err.all() == b""


WORKERS = """
import dcf, multiprocessing
class Fault(dcf.Error):
    def __reduce__(self): return Fault, (self.code, self.message)
def work(number):
    if number == 3:
        raise Fault("NOT_FOUND", "no three")
    return number * 2
class Handler:
    def __call__(self, req):
        with multiprocessing.get_context(req.input.decode()).Pool(2) as pool:
            got = pool.map(work, [1, 2])
            try:
                pool.map(work, [3])
            except Fault as fault:
                return "%s %s" % (got, fault)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_have_the_frameworks_modules(start, each_python, method):
    replica = start(WORKERS, python=each_python).started()
    assert replica.reply(method.encode()) == b"[2, 4] NOT_FOUND: no three"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_of_handlers_in_packages(start, folder, each_python, method):
    for file in ("pkg", "src"):
        (folder / file).mkdir()
        (folder / file / "helper.py").write_text("def twice(number): return number * 2\n")
    (folder / "pkg/__init__.py").touch()
    (folder / "pkg/handler.py").write_text(WORKERS.replace("import dcf", "from .helper import twice\nimport dcf"))
    (folder / "src/handler.py").write_text(WORKERS.replace("import dcf", "import helper\nimport dcf"))
    (folder / "helper.py").write_text("def twice(number): return number * 2\n")
    (folder / "handler.py").write_text(WORKERS.replace("import dcf", "from .helper import twice\nimport dcf"))
    for number, file in enumerate(("pkg/handler.py", "src/handler.py", "handler.py")):
        replica = start(folder=folder, file=file, python=each_python, link=f"l{number}").started()
        assert replica.reply(method.encode()) == b"[2, 4] NOT_FOUND: no three"


@pytest.mark.parametrize("others", [{}, {"concurrency": 2}], ids=["plain", "threads"])
def test_a_folder_of_pythonpath_hides_nothing_either(start, folder, each_python, others):
    (folder / "modules").mkdir()
    for name in ("asyncio", "ast", "json", "select", "tokenize", "traceback", "unicodedata"):
        (folder / f"modules/{name}.py").write_text("WHO = 'author'\n")
    replica = start("import json\ndef Handler(req):\n    if req.input: raise ValueError('raised')\n"
                    "    return json.WHO\n",
                    python=each_python, environment={"PYTHONPATH": str(folder / "modules")},
                    settings=settings(**others)).started()
    assert replica.reply() == b"author"
    assert replica.error(b"x", id=2).traceback.endswith("ValueError: raised\n")
    replica.drain()
    assert replica.status() == 0
