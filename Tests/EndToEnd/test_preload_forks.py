"""What replicas that are forked from a template share and what they do not, and what cannot be forked at all."""
import json
import pathlib
import subprocess
import sys

import pytest

from support import length
from support.bundles import bundle
from support.client import outcome, refused
from support.processes import kill, real
from support.waiting import wait_until

#: What a replica can tell of how it came to be. The modules are looked at before the handler imports anything.
SEEN = """
import sys
BEFORE = set(sys.modules)
import gc, json, os, random
class Handler:
    def __call__(self, req):
        return json.dumps({
            "pid": os.getpid(), "parent": os.getppid(), "frozen": gc.get_freeze_count(), "random": random.random(),
            "before": [m for m in ("decimal", "sqlite3", "numpy", "marked") if m in BEFORE],
            "environment": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd(), "group": os.getpgid(0),
        })
"""
MODULES = ["decimal", "sqlite3"]


def test_the_imports_are_there_and_replicas_share_a_parent(gateway):
    gateway.deploy("seen", files={"handler.py": SEEN}, config={"preload": MODULES, "environment": ["MINE=1"]})
    one = json.loads(gateway.client.invoke("seen"))
    assert one["before"] == MODULES, "the modules were there before the handler imported anything"
    assert one["frozen"] > 0, "the template's objects are frozen, or collections would copy them"
    assert one["environment"]["MINE"] == "1" and one["group"] == one["pid"]
    gateway.dcf("function", "scale", "seen", "3")
    wait_until(lambda: gateway.client.meta("seen").AvailableReplicas == 3, 20, "3 replicas")
    # Concurrent calls, so that each gets some.
    seen = {}

    def all_three():
        for call in [gateway.client.begin("seen") for _ in range(30)]:
            told = json.loads(outcome(call))
            seen[told["pid"]] = told
        return len(seen) == 3

    wait_until(all_three, 20, "an answer of each replica", every=0)
    assert len({told["parent"] for told in seen.values()}) == 1, "all forked from one template"
    assert len({told["random"] for told in seen.values()}) == 3, (
        "forks of one process, and yet they draw different numbers")


def test_without_preload_nothing_is_there(gateway, client):
    gateway.deploy("plain-seen", files={"handler.py": SEEN})
    assert json.loads(client.invoke("plain-seen"))["before"] == []


def test_a_replica_that_dies_is_forked_anew_from_the_same_template(gateway, client):
    gateway.deploy("seen", None, "--replace", files={"handler.py": SEEN}, config={"preload": MODULES})
    first = json.loads(client.invoke("seen"))
    for _ in range(3):
        kill(first["pid"])
        wait_until(lambda pid=first["pid"]: gateway.replicas("seen") not in ([], [pid])
                   and client.meta("seen").Status == "Ready", 20, "a new one")
        second = json.loads(client.invoke("seen"))
        assert second["parent"] == first["parent"] and second["pid"] != first["pid"] and second["before"] == MODULES
        first = second
    wait_until(lambda: not zombies(gateway), 5, "what ended is reaped")


def zombies(gateway):
    """Processes below the gateway that ended and that nobody looked at."""
    below, found = gateway.below() | {gateway.pid}, []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        if state == "Z" and int(parent) in below:
            found.append(path.parent.name)
    return found


def test_faults_of_a_forked_replica_are_as_of_any_other(gateway, client):
    gateway.deploy("faults", config={"preload": MODULES})
    for word in (b"die 3", b"segfault", b"fork_and_die"):
        error = refused(client.invoke, "faults", word)
        assert (error.name, error.executed) == ("UNAVAILABLE", "maybe"), f"{word}: {error}"
        assert real(client.invoke("faults", b"pid", timeout=20)) in gateway.below()
    assert client.invoke("faults", b"thread") == "8" and client.invoke("faults", b"subprocess hello") == "hello\n"
    assert client.invoke("faults", b"stdin") == "''"
    assert client.invoke("faults", b"write_one") == "written"
    wait_until(lambda: "printed words" in (text := client.log("faults")) and "raw words" in text, 5, "its log")


def test_a_constructor_that_raises_in_a_forked_replica(gateway, client):
    done = gateway.deploy("raises", files={"handler.py": "raise ValueError('no weights')\n"},
                          config={"preload": MODULES}, check=False)
    assert done.returncode == 1 and "ValueError: no weights" in done.error and "raises" not in client.names()


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    """An environment with modules that cannot be shared."""
    home = tmp_path_factory.mktemp("venvs") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    site = next(home.glob("lib/python3*/site-packages"))
    (site / "starts_a_thread.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,), name='background-sync', daemon=True).start()\n")
    (site / "starts_a_raw_thread.py").write_text("import _thread, time\n_thread.start_new_thread(time.sleep, (600,))\n")
    (site / "brief_thread.py").write_text("import threading\nt = threading.Thread(target=int)\nt.start()\nt.join()\n")
    (site / "raises.py").write_text("raise RuntimeError('no licence file')\n")
    (site / "exits.py").write_text("raise SystemExit(0)\n")
    (site / "prints.py").write_text("print('printed by an import')\n")
    torch = site / "torch"
    torch.mkdir()
    (torch / "__init__.py").write_text("from . import cuda\n")
    (torch / "cuda.py").write_text("def is_initialized():\n    return True\n")
    return str(home)


@pytest.mark.parametrize(
    "module, said",
    [
        ("starts_a_thread", ["starts_a_thread", "background-sync", "thread"]),
        ("starts_a_raw_thread", ["starts_a_raw_thread", "thread"]),
        ("torch", ["torch", "CUDA"]),
        ("raises", ["raises", "no licence file"]),
        ("exits", ["exits", "SystemExit"]),
        ("no_such_module", ["no_such_module"]),
        ("handler", ["handler"]),
    ])
def test_what_cannot_be_shared_is_refused_with_the_reason(gateway, client, venv, module, said):
    before = gateway.below()
    done = gateway.deploy("unsafe", files={"handler.py": "def Handler(req):\n    return 'x'\n"},
                          config={"preload": [module], "python": venv}, check=False)
    assert done.returncode == 1 and "preload" in done.error
    for word in said:
        assert word in done.error, f"{word!r} is not in {done.error!r}"
    assert "unsafe" not in client.names()
    wait_until(lambda: gateway.below() <= before, 10, "no template is left of it")


def test_a_thread_that_has_ended_and_an_import_that_prints_are_fine(gateway, client, venv):
    gateway.deploy(
        "fine", files={"handler.py": "import sys\ndef Handler(req):\n    return str('brief_thread' in sys.modules)\n"},
        config={"preload": ["brief_thread", "prints"], "python": venv})
    assert client.invoke("fine") == "True"


@pytest.mark.parametrize("preload",
                         ["[1numpy]", "['os; print(1)']", "[../x]", "[a..b]", "['']", "{numpy: 1}", "[[numpy]]"])
def test_what_is_no_modules_name(client, preload):
    error = refused(client.deploy_watch, "bad", bundle({"handler.py": "def Handler(req):\n    pass\n"}),
                    config=f"runtime: python3\npreload: {preload}\n")
    assert (error.name, error.executed) == ("INVALID_ARGUMENT", "no") and "preload" in error.message, error


def test_a_cold_start_forks(gateway, client):
    gateway.deploy("cold", files={"handler.py": SEEN}, config={
        "preload": MODULES, "replicas": {"min": 0, "max": 1}, "timeout": {"idle": "300ms"}})
    wait_until(lambda: not gateway.replicas("cold"), 20, "it has stopped")
    told = json.loads(client.invoke("cold", timeout=20))
    assert told["before"] == MODULES


def test_an_update_with_other_imports(gateway, client):
    gateway.deploy("seen", None, "--replace", files={"handler.py": SEEN}, config={"preload": ["decimal"]})
    assert json.loads(client.invoke("seen"))["before"] == ["decimal"]
    gateway.deploy("seen", None, "--update", files={"handler.py": SEEN}, config={"preload": ["sqlite3"]})
    assert json.loads(client.invoke("seen"))["before"] == ["sqlite3"]
    gateway.deploy("seen", None, "--update", files={"handler.py": SEEN})
    assert json.loads(client.invoke("seen"))["before"] == []


@pytest.mark.timeout(600)
def test_numpy_with_its_own_threads(gateway, client):
    """OpenBLAS's threads are fine: they start anew in each fork, and the numbers are right."""
    code = """
import sys
BEFORE = "numpy" in sys.modules
import json, os
import numpy as np
class Handler:
    def __init__(self):
        self.a = np.random.default_rng(1).standard_normal((600, 600))
    def __call__(self, req):
        inverse = np.linalg.inv(self.a)
        right = bool(np.allclose(self.a @ inverse, np.eye(600), atol=1e-6))
        return json.dumps([BEFORE, right, os.getpid(), float(np.random.rand())])
"""
    gateway.deploy("numbers", files={"handler.py": code, "requirements.txt": "numpy\n"},
                   config={"preload": ["numpy"], "replicas": {"min": 2, "max": 2}})
    told = {}

    def both():
        for call in [client.begin("numbers") for _ in range(8)]:
            before, right, pid, drawn = json.loads(outcome(call))
            assert before and right
            told.setdefault(pid, drawn)
        return len(told) == 2

    wait_until(both, 60, "an answer of both replicas")
    assert len(set(told.values())) == 2, "two forks drew the same numbers"
    first = set(told)
    gateway.dcf("function", "restart", "numbers")
    gateway.wait_ready("numbers")
    assert not first & set(gateway.replicas("numbers"))


def test_many_forks_at_once(gateway, client):
    gateway.deploy("many", files={"handler.py": SEEN}, config={"preload": MODULES})
    count = length(8, 40)
    gateway.dcf("function", "scale", "many", str(count))
    wait_until(lambda: client.meta("many").AvailableReplicas == count, 60, f"{count} replicas")
    seen, pids = {}, set(gateway.replicas("many"))

    def all_answered():
        for call in [client.begin("many") for _ in range(4 * count)]:
            told = json.loads(outcome(call))
            seen[told["pid"]] = told
        return set(seen) == pids

    # A replica that dies and had answered nothing counts towards Failed.
    wait_until(all_answered, 60, "an answer of each replica", every=0)
    assert len({told["parent"] for told in seen.values()}) == 1
    for pid in pids:
        kill(pid)
    wait_until(lambda: client.meta("many").AvailableReplicas == count and not pids & set(gateway.replicas("many")), 60,
               "all of them anew")
    gateway.delete("many")
