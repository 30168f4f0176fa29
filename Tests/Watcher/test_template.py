"""Templates: they do the imports once, and the replicas that are forked from them are like all others."""
import ast
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import frames
from replica import PATIENCE, state_of, wait_for
from templates import Template

#: Describes the process that the handler runs in.
LOOK = """
import json, os, signal, sys
class Handler:
    def __init__(self, parameters):
        self.parameters = parameters
    def __call__(self, req):
        return json.dumps({
            "argv": sys.argv, "path": sys.path, "cwd": os.getcwd(), "environment": dict(os.environ),
            "leads": os.getpgrp() == os.getpid(), "parameters": self.parameters, "info": req.info,
            "ignored": [s for s in range(1, 32) if signal.getsignal(s) == signal.SIG_IGN],
            "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            "files": sorted(os.readlink("/proc/self/fd/" + f).split(":")[0] for f in os.listdir("/proc/self/fd")
                            if os.path.exists("/proc/self/fd/" + f)),
            "threads": len(os.listdir("/proc/self/task")), "modules": "colorsys" in sys.modules,
        })
"""

ANSWER = "def Handler(req): return b'yes'\n"


@pytest.fixture
def template(python):
    """Starts templates; ends them after the test."""
    made = []

    def begin(*modules, **options):
        made.append(Template(options.pop("python", python), *modules, **options))
        return made[-1]

    yield begin
    for each in made:
        each.__exit__()


@pytest.fixture
def modules(folder):
    """Writes modules that a template can import; returns its environment."""
    def write(**sources):
        (folder / "modules").mkdir(exist_ok=True)
        for name, source in sources.items():
            (folder / f"modules/{name}.py").write_text(source)
        return {"PYTHONPATH": str(folder / "modules")}

    return write


@pytest.fixture(scope="session")
def numpy_python():
    """An interpreter with numpy: a venv in the cache, made once."""
    from conftest import ONE

    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "dcf-test/numpy"
    if not (home / "made").exists():
        subprocess.run([ONE, "-m", "venv", "--clear", home], check=True)
        subprocess.run([home / "bin/pip", "install", "-q", "--disable-pip-version-check", "numpy==2.2.6"], check=True)
        (home / "made").touch()
    return str(home / "bin/python")


def parent_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])



# A forked replica is like any other.

def test_a_forked_replica_is_like_a_fresh_one(each_python, template, start, folder):
    there = template("colorsys", python=each_python).ready()
    place = folder / "function"
    replica = there.fork(place, LOOK, environment={"HOME": str(place)}).started()
    assert replica.hello is not None
    forked = json.loads(replica.reply(b"x"))
    replica.drain()
    assert replica.status() == 0
    (place / "l").unlink()
    fresh = json.loads(start(LOOK, python=each_python, folder=place).started().reply(b"x"))
    assert forked.pop("modules") and not fresh.pop("modules")
    assert forked == fresh
    assert forked["leads"]


def test_it_fails_as_any_other(template, folder):
    there = template("json").ready()
    replica = there.fork(folder / "a", "raise ValueError('no weights')\n")
    answer = replica.ready()
    assert answer.kind == frames.FAILED
    assert b"ValueError: no weights" in answer.payload
    assert replica.status() == 1
    assert b"ValueError: no weights" in replica.err.all()


def test_children_are_of_one_template_and_each_has_its_own_output(template, folder):
    there = template("json").ready()
    source = "import os\ndef Handler(req):\n    print('I am', os.getpid(), flush=True)\n    return str(os.getpid())\n"
    replicas = [there.fork(folder / f"{n}", source).started() for n in range(3)]
    for replica in replicas:
        assert replica.reply(b"") == str(replica.pid).encode()
        assert parent_of(replica.pid) == there.pid
        assert os.getpgid(replica.pid) == replica.pid
    for replica in replicas:
        replica.drain()
        assert replica.status() == 0
        assert replica.out.all() == f"\x1erequest-1\x1fI am {replica.pid}\n".encode()
        assert replica.err.all() == b""


def test_what_the_imports_print(template, folder, modules):
    there = template("loud", environment=modules(loud="""
import atexit, logging, sys
print("importing", flush=True)
print("to stderr", file=sys.stderr)
sys.stdout.write("no line end")
log = logging.getLogger("loud")
log.addHandler(logging.StreamHandler(sys.stderr))
""")).ready()
    assert there.out.wait_for(b"no line end\n") == b"importing\nno line end\n"
    assert there.err.wait_for(b"to stderr\n") == b"to stderr\n"
    replica = there.fork(folder / "f", "import loud\ndef Handler(req):\n    loud.log.error('from a handler of loud')\n"
                                       "    return b''\n").started()
    replica.reply(b"")
    replica.drain()
    assert replica.status() == 0
    # A logger that the module made writes to the child's standard error, with the request's mark.
    assert replica.err.all() == b"\x1erequest-1\x1ffrom a handler of loud\n"
    assert replica.out.all() == b""
    there.control.close()
    assert there.err.all() == b"to stderr\n"


def test_fork_hooks_of_modules_run(template, folder, modules):
    there = template("hooked", environment=modules(hooked="""
import os
calls = []
os.register_at_fork(before=lambda: calls.append("before"), after_in_parent=lambda: calls.append("parent"),
                    after_in_child=lambda: calls.append("child"))
""")).ready()
    source = "import hooked\ndef Handler(req): return ' '.join(hooked.calls)\n"
    assert there.fork(folder / "a", source).started().reply(b"") == b"before child"
    assert there.fork(folder / "b", source).started().reply(b"") == b"before parent before child"


def test_each_draws_its_own_random_numbers(template, folder, modules):
    there = template("random", "uuid", "seeded", environment=modules(seeded="import random; random.seed(1)")).ready()
    source = "import random\ndef Handler(req): return str(random.random())\n"
    drawn = {there.fork(folder / f"{n}", source).started().reply(b"") for n in range(4)}
    assert len(drawn) == 4


def test_processors(template, folder):
    there = template("json").ready()
    source = "import os\nseen = os.sched_getaffinity(0)\ndef Handler(req): return repr(seen)\n"
    cpu = max(os.sched_getaffinity(0))
    assert there.fork(folder / "f", source, cpus=str(cpu)).started().reply(b"") == repr({cpu}).encode()


def test_stacks_on_a_signal(template, folder):
    there = template("json").ready()
    replica = there.fork(folder / "f", "import time\ndef Handler(req):\n    print('on', flush=True)\n"
                                       "    time.sleep(600)\n").started()
    replica.send(frames.call(1))
    replica.out.wait_for(b"on\n")
    os.kill(replica.pid, signal.SIGRTMIN + 8)
    # The handler may still be in the print, a line above.
    assert b"handler.py\", line" in replica.err.wait_for(b"in Handler")
    assert there.process.poll() is None


def test_a_process_that_a_handler_forks_cannot_speak_on_the_link(template, folder):
    there = template("json").ready()
    replica = there.fork(folder / "f", "import os\ndef Handler(req):\n    os.fork()\n    return b'one'\n").started()
    assert replica.reply(b"") == b"one"
    assert replica.reply(b"", id=2) == b"one"


# numpy

NUMPY = """
import numpy
class Handler:
    def __init__(self):
        self.weights = numpy.full((400, 400), 2.0)
    def __call__(self, req):
        if req.input == b"draw": return repr((numpy.random.rand(), numpy.random.default_rng().random()))
        return str((self.weights @ self.weights)[0, 0])
"""

#: A module that multiplies matrices while it is imported: OpenBLAS has its threads before the fork.
BLAS = "import numpy\nm = numpy.ones((400, 400))\nm = m @ m\nnumpy.random"


@pytest.mark.parametrize("warnings", [None, "default", "error"])
def test_numpy_and_its_native_threads(template, folder, modules, numpy_python, warnings):
    environment = {**modules(blas=BLAS), "OPENBLAS_NUM_THREADS": "4"}
    if warnings:
        environment["PYTHONWARNINGS"] = warnings
    there = template("numpy", "blas", python=numpy_python, environment=environment).ready()
    # OpenBLAS has no more threads than there are CPUs.
    assert len(os.listdir(f"/proc/{there.pid}/task")) > 1 or len(os.sched_getaffinity(0)) == 1
    replicas = [there.fork(folder / f"{n}", NUMPY).started() for n in range(3)]
    for _ in range(2):
        assert [replica.reply(b"") for replica in replicas] == [b"1600.0"] * 3
    legacy, new = zip(*(ast.literal_eval(replica.reply(b"draw").decode()) for replica in replicas), strict=True)
    assert len(set(legacy)) == len(set(new)) == 3
    for replica in replicas:
        replica.drain()
        assert replica.status() == 0
        # Since 3.12 a fork with threads warns; the warning must not reach the log.
        assert replica.err.all() == b""
    there.control.close()
    assert there.err.all() == b""


def test_a_fork_spares_the_import(template, folder, modules):
    notes = folder / "notes"
    there = template("counted", environment=modules(counted=f"open({str(notes)!r}, 'a').write('x')\n")).ready()
    source = "import counted\ndef Handler(req): return counted.__name__\n"
    for n in range(3):
        assert there.fork(folder / f"f{n}", source).started().reply(b"") == b"counted"
    assert notes.read_text() == "x", "the module ran in the template only"


# What is refused.

def test_a_module_that_is_not_there(template):
    there = template("json", "no_such_module")
    summary, text = there.refused()
    assert summary == ("preload: no_such_module cannot be imported: ModuleNotFoundError: No module named "
                       "'no_such_module'; "
                       "preload takes what requirements.txt or the interpreter brings, not files of the function's "
                       "folder")
    assert text.startswith("ModuleNotFoundError") or "Traceback" in text
    assert b"ModuleNotFoundError: No module named 'no_such_module'" in there.err.all()


def test_a_module_that_raises(template, folder, modules):
    there = template("broken", environment=modules(broken="import json\n\nraise OSError('no GPU library')\n"))
    summary, text = there.refused()
    assert summary == f"preload: broken cannot be imported: OSError: no GPU library ({folder}/modules/broken.py:3)"
    assert text.startswith("Traceback (most recent call last):\n") and "<dcf>" not in text
    assert f'File "{folder}/modules/broken.py", line 3' in text
    assert text.encode() in there.err.all()


@pytest.mark.parametrize("source, name", [("import sys; sys.exit(3)", "SystemExit: 3"), ("raise KeyboardInterrupt",
                                                                                          "KeyboardInterrupt")])
def test_a_module_that_wants_to_end_it_all(template, modules, source, name):
    summary, _ = template("quits", environment=modules(quits=source)).refused()
    assert summary.startswith(f"preload: quits cannot be imported: {name}")


def test_a_file_of_the_folder_is_not_found(template, folder):
    (folder / "mine.py").write_text("x = 1\n")
    there = template("mine", environment={"HANDLER_DIR": str(folder)})
    assert "not files of the function's folder" in there.refused()[0]


THREADS = """
import threading, time
for name in (%s):
    threading.Thread(target=time.sleep, args=(600,), name=name, daemon=True).start()
"""


@pytest.mark.parametrize("names, said", [("'pump',", 'the thread "pump"'), ("'a', 'b'", 'the threads "a", "b"')])
def test_threads(template, modules, each_python, names, said):
    summary, text = template("json", "busy", python=each_python, environment=modules(busy=THREADS % names)).refused()
    assert summary == (f"preload: importing busy started {said}, and a process with Python threads cannot be forked "
                       "safely; take it out of preload, or leave that to the handler's constructor")
    assert text == ""


def test_a_thread_that_no_one_knows(template, modules):
    summary, _ = template("raw", environment=modules(
        # Python counts a thread only when it has begun to run.
        raw="import _thread, time\nbegun = _thread.allocate_lock()\nbegun.acquire()\n"
            "def work():\n    begun.release()\n    time.sleep(600)\n"
            "_thread.start_new_thread(work, ())\nbegun.acquire()\n")).refused()
    assert "importing raw started a thread without a name" in summary


def test_a_thread_that_ends_by_itself(template, modules, folder):
    there = template("brief", environment=modules(
        brief="import threading, time\nthreading.Thread(target=time.sleep, args=(0.05,)).start()\n")).ready()
    assert there.fork(folder / "f", ANSWER).started().reply(b"") == b"yes"


def test_cuda_that_is_initialised(template, modules):
    environment = modules(torch="""
class cuda:
    @staticmethod
    def is_initialized(): return True
""")
    summary, _ = template("torch", environment=environment).refused()
    assert summary == ("preload: importing torch initialised CUDA (torch.cuda.is_initialized() is true), and CUDA does "
                       "not "
                       "work after a fork; take it out of preload, or leave that to the handler's constructor")


def test_a_gpu_that_is_open(template, modules):
    device = pathlib.Path(f"/dev/nvidia-dcf-test-{os.getpid()}")
    try:
        device.touch()
    except OSError:
        pytest.skip("no file can be made in /dev")
    try:
        summary, _ = template("gpu", environment=modules(gpu=f"file = open({str(device)!r})\n")).refused()
    finally:
        device.unlink()
    assert f"importing gpu opened the GPU ({device}), and CUDA does not work after a fork" in summary


def test_a_module_that_crashes(template, modules):
    there = template("crash", environment=modules(crash="import ctypes\nctypes.string_at(0)\n"))
    assert there.receive() == []
    assert there.process.wait(PATIENCE) == -signal.SIGSEGV
    # The stack shows where it crashed.
    assert b"crash.py" in there.err.all()


# The end of templates and replicas.

def test_a_child_keeps_its_number_until_it_is_reaped(template, folder):
    there = template("json").ready()
    replica = there.fork(folder / "f", ANSWER).started()
    os.kill(replica.pid, signal.SIGKILL)
    wait_for(lambda: state_of(replica.pid) == "Z")
    # The template does other things meanwhile.
    assert there.fork(folder / "g", ANSWER).started().reply(b"") == b"yes"
    assert state_of(replica.pid) == "Z"
    assert replica.status() == -signal.SIGKILL
    assert not pathlib.Path(f"/proc/{replica.pid}").exists()


def test_exit_statuses(template, folder):
    there = template("json").ready()
    replica = there.fork(folder / "f", "import os\ndef Handler(req): os._exit(7)\n").started()
    replica.send(frames.call(1))
    assert replica.status() == 7


def test_a_gate_that_is_closed(template, folder):
    there = template("json").ready()
    replica = there.fork(folder / "f", ANSWER, open_gate=False)
    replica.gate.close()
    assert replica.status() == 0
    assert replica.out.all() == replica.err.all() == b""


def test_replicas_outlive_their_template(template, folder):
    there = template("json").ready()
    replica = there.fork(folder / "f", ANSWER).started()
    there.process.kill()
    there.process.wait()
    wait_for(lambda: parent_of(replica.pid) != there.pid)
    # No replica holds the control socket open: the gateway sees that the template has ended.
    assert there.receive() == []
    assert replica.reply(b"") == b"yes"
    assert replica.reply(b"", id=2) == b"yes"
    replica.drain()
    wait_for(lambda: state_of(replica.pid) in ("", "Z"))


def test_the_template_ends_with_its_channel(template, folder):
    there = template("json").ready()
    replica = there.fork(folder / "f", ANSWER).started()
    there.control.close()
    assert there.process.wait(PATIENCE) == 0
    assert there.out.all() == there.err.all() == b""
    assert replica.reply(b"") == b"yes"


def test_a_replica_ends_with_its_link(template, folder):
    there = template("json").ready()
    replica = there.fork(folder / "f", "import ctypes\ndef Handler(req):\n    print('on', flush=True)\n"
                                       "    ctypes.PyDLL(None).sleep(600)\n").started()
    replica.send(frames.call(1))
    replica.out.wait_for(b"on\n")
    replica.link.close()
    assert replica.status() == -signal.SIGKILL


@pytest.mark.alone
def test_all_end_with_the_gateway(python, folder):
    """The gateway is killed: an idle template, one that is importing, an idle replica, and one that holds the GIL."""
    (folder / "slow.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    gateway = subprocess.Popen([sys.executable, "-c", f"""
import sys, time
sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
from templates import Template
import frames
template = Template({python!r}, "json").ready()
slow = Template({python!r}, "slow", environment={{"PYTHONPATH": {str(folder)!r}}})
slow.out.wait_for(b"importing")
idle = template.fork({str(folder / "a")!r}, {ANSWER!r}).started()
stuck = template.fork({str(folder / "b")!r},
    "import ctypes\\ndef Handler(req):\\n    print('on', flush=True)\\n    ctypes.PyDLL(None).sleep(600)\\n").started()
stuck.send(frames.call(1))
stuck.out.wait_for(b"on\\n")
print(template.pid, slow.pid, idle.pid, stuck.pid, flush=True)
time.sleep(600)
"""], stdout=subprocess.PIPE)
    pids = [int(pid) for pid in gateway.stdout.readline().split()]
    assert len(pids) == 4
    gateway.kill()
    began = time.monotonic()
    gateway.wait()
    gateway.stdout.close()
    wait_for(lambda: all(state_of(pid) in ("", "Z") for pid in pids))
    assert time.monotonic() - began < 2
