"""`preload`: replicas that are forked from a process which has done the imports."""
import contextlib
import json
import os
import time

import pytest

from support import length, processes
from support.client import refused
from support.processes import exists, kill
from support.waiting import wait_until

#: A module to preload: it says that it is imported, and where.
SLOW = "import os\nprint('importing slowly', flush=True)\nowner = os.getpid()\n"

HANDLER = """
import json, os, sys
class Handler:
    def __call__(self, req):
        slow = sys.modules.get("slow")
        return json.dumps({"pid": os.getpid(), "parent": os.getppid(), "owner": slow and slow.owner,
                           "environment": dict(os.environ), "folder": os.getcwd(),
                           "affinity": len(os.sched_getaffinity(0))})
"""


@pytest.fixture
def slow(tmp_path):
    """A module outside of any function's folder, and what makes it found."""
    (tmp_path / "slow.py").write_text(SLOW)
    return f"PYTHONPATH={tmp_path}"


def deploy(gateway, name, slow, *flags, preload=("slow",), handler=HANDLER, check=True, **config):
    return gateway.deploy(name, None, *flags, files={"handler.py": handler}, check=check, config={
        "preload": list(preload), "environment": [slow, *config.pop("environment", [])], **config})


def look(client, name):
    return json.loads(client.invoke(name))


def test_replicas_are_forked_from_a_template(gateway, client, slow):
    deploy(gateway, "forked", slow, replicas=3)
    pids = gateway.replicas("forked")
    seen = look(client, "forked")
    template = seen["parent"]
    assert template != gateway.pid and seen["owner"] == template
    assert seen["pid"] in pids and seen["folder"].split("/")[-2:][0] == "forked"
    assert all(processes._stat(pid)[1] == template and os.getpgid(pid) == pid for pid in pids)
    assert not [name for name in seen["environment"] if name.startswith("DCF_")]
    assert seen["environment"]["HANDLER_FILE"] == "handler.py"
    # Once, however many replicas there are.
    wait_until(lambda: client.log("forked").count("importing slowly") == 1, 10, "the import is in the log, once")
    gateway.delete("forked")
    wait_until(lambda: not exists(template), 5, "the template gone")


def test_functions_with_the_same_imports_share_a_template(gateway, client, slow):
    deploy(gateway, "one", slow)
    deploy(gateway, "two", slow, environment=[])
    deploy(gateway, "three", slow, environment=["A=1"])
    one, two, three = (look(client, name) for name in ("one", "two", "three"))
    assert one["parent"] == two["parent"] != three["parent"]
    assert three["environment"]["A"] == "1" and "A" not in one["environment"]
    assert one["environment"]["HANDLER_DIR"] != two["environment"]["HANDLER_DIR"]
    gateway.delete("one")
    assert look(client, "two")["pid"] == two["pid"]
    gateway.delete("two", "three")
    wait_until(lambda: not exists(one["parent"]) and not exists(three["parent"]), 5, "the templates gone")


def test_an_update_uses_the_template_that_is_there(gateway, client, slow):
    deploy(gateway, "updated", slow)
    before = look(client, "updated")
    deploy(gateway, "updated", slow, "--update")
    after = look(client, "updated")
    assert before["parent"] == after["parent"] and before["pid"] != after["pid"]
    # Without preload it has no template any more.
    gateway.deploy("updated", None, "--update", files={"handler.py": HANDLER}, config={"environment": [slow]})
    assert look(client, "updated")["parent"] == gateway.pid
    wait_until(lambda: not exists(before["parent"]), 5, "the template gone")


def test_limits_are_those_of_any_replica(gateway, client, slow):
    deploy(gateway, "limited", slow, limits={"cpu": "1", "memory": "200M"}, handler=HANDLER + """
held = []
class Hold(Handler):
    def __call__(self, req):
        if req.input: held.append(b"x" * (int(req.input) << 20))
        return super().__call__(req)
Handler = Hold
""")
    seen = look(client, "limited")
    assert seen["affinity"] == 1 and seen["environment"]["OMP_NUM_THREADS"] == "1"
    with contextlib.suppress(Exception):
        client.invoke("limited", b"400", timeout=10)
    wait_until(lambda: not exists(seen["pid"]), 10, "the replica over its limit ended")
    wait_until(lambda: gateway.replicas("limited") not in ([], [0], [seen["pid"]]), 10)
    assert look(client, "limited")["parent"] == seen["parent"]


def test_a_replica_that_dies_is_forked_anew_and_how_it_died_is_told(gateway, client, slow):
    deploy(gateway, "dies", slow, handler=HANDLER + """
class Dies(Handler):
    def __call__(self, req):
        if req.input: os._exit(int(req.input))
        return super().__call__(req)
Handler = Dies
""")
    first = look(client, "dies")
    refused(client.invoke, "dies", b"7")
    wait_until(lambda: gateway.replicas("dies") not in ([], [0], [first["pid"]]), 10)
    second = look(client, "dies")
    assert second["pid"] != first["pid"] and second["parent"] == first["parent"]
    kill(second["pid"])
    wait_until(lambda: gateway.replicas("dies") not in ([], [0], [second["pid"]]), 10)
    assert look(client, "dies")["parent"] == first["parent"]
    log = client.log("dies")
    assert "died: exit status 7" in log and "died: signal 9 (SIGKILL)" in log


def test_a_template_that_dies_takes_nothing_with_it(gateway, client, slow):
    deploy(gateway, "orphans", slow, replicas=2)
    before = look(client, "orphans")
    pids = gateway.replicas("orphans")
    kill(before["parent"])
    wait_until(lambda: not exists(before["parent"]), 5)
    assert sorted(gateway.replicas("orphans")) == sorted(pids)
    for _ in range(20):
        assert look(client, "orphans")["pid"] in pids
    # One more has a new template; the old ones are still watched.
    gateway.dcf("function", "scale", "orphans", "3")
    wait_until(lambda: len([p for p in gateway.replicas("orphans") if p]) == 3, 10)
    gateway.wait_ready("orphans")
    new = (set(gateway.replicas("orphans")) - set(pids)).pop()
    assert processes._stat(new)[1] not in (gateway.pid, before["parent"])
    kill(pids[0])
    wait_until(lambda: pids[0] not in gateway.replicas("orphans"), 10, "seen to be gone")
    gateway.wait_ready("orphans")
    assert ("its template had ended" in client.log("orphans")
            or "the template that it was forked from" in client.log("orphans"))
    gateway.delete("orphans")
    wait_until(lambda: not any(exists(pid) for pid in [*pids, new]), 10, "all gone")


def test_the_imports_of_a_deploy_that_fails(gateway, client):
    def said(preload, handler="def Handler(req): return ''\n"):
        done = gateway.deploy("bad", None, files={"handler.py": handler}, config={"preload": preload}, check=False)
        assert done.returncode == 1 and "bad" not in client.names()
        return done.error

    children = gateway.below()
    error = said(["json", "no_such_module"])
    assert "FAILED_PRECONDITION" in error or "did not start" in error
    assert "preload: no_such_module cannot be imported: ModuleNotFoundError: No module named 'no_such_module'" in error
    assert "requirements.txt" in error
    wait_until(lambda: gateway.below() <= children, 10, "nothing left")


def test_threads_are_refused_with_their_names(gateway, client, tmp_path):
    (tmp_path / "busy.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), name='pump', daemon=True).start()\n")
    done = deploy(gateway, "busy", f"PYTHONPATH={tmp_path}", preload=["busy"], check=False)
    assert done.returncode == 1 and "busy" not in client.names()
    assert 'preload: importing busy started the thread "pump"' in done.error and "take it out of preload" in done.error


def test_a_traceback_of_an_import_reaches_the_caller(gateway, client, tmp_path):
    (tmp_path / "broken.py").write_text("\n\nraise OSError('no such driver')\n")
    done = deploy(gateway, "broken", f"PYTHONPATH={tmp_path}", preload=["broken"], check=False)
    assert done.returncode == 1
    assert "preload: broken cannot be imported: OSError: no such driver" in done.error
    assert "Traceback (most recent call last)" in done.error and "broken.py\", line 3" in done.error


def test_imports_that_take_too_long(gateway, client, tmp_path):
    (tmp_path / "endless.py").write_text("import time\ntime.sleep(600)\n")
    children = gateway.below()
    began = time.monotonic()
    done = deploy(gateway, "endless", f"PYTHONPATH={tmp_path}", preload=["endless"], check=False,
                  timeout={"start": "1s"})
    assert done.returncode == 1 and time.monotonic() - began < 20
    assert "preload: the imports had not ended after 1.0 s (timeout.start)" in done.error
    wait_until(lambda: gateway.below() <= children, 10, "nothing left")


def test_a_relative_pythonpath_means_the_functions_folder(gateway, client):
    gateway.deploy("relative", None, files={"handler.py": HANDLER, "lib/slow.py": SLOW},
                   config={"preload": ["slow"], "environment": ["PYTHONPATH=lib"]})
    seen = look(client, "relative")
    assert seen["owner"] == seen["parent"]


def test_a_handler_that_hangs(gateway, client, slow):
    deploy(gateway, "hangs", slow, timeout={"call": "1s"}, handler="""
import time
def Handler(req):
    if req.input: time.sleep(600)
    return "fine"
""")
    stuck = gateway.replicas("hangs")[0]
    error = refused(client.invoke, "hangs", b"x")
    assert error.name == "DEADLINE_EXCEEDED"
    wait_until(lambda: "line 4 in Handler" in client.log("hangs"), 10, "its stack in the log")
    wait_until(lambda: gateway.replicas("hangs") not in ([], [0], [stuck]), 10)
    gateway.wait_ready("hangs")
    assert client.invoke("hangs") == "fine"


@pytest.mark.alone
@pytest.mark.fault("A2")
def test_nothing_outlives_a_killed_gateway(own_gateway, slow, tmp_path):
    (tmp_path / "endless.py").write_text("import time\ntime.sleep(600)\n")
    gateway = own_gateway()
    deploy(gateway, "forked", slow, replicas=3)
    path = gateway.write("late", None, {"handler.py": HANDLER}, {"preload": ["endless"], "environment": [slow]})
    from threading import Thread

    late = Thread(target=lambda: gateway.dcf("function", "create", "-f", str(path), check=False))
    late.start()
    # The gateway, the template, its replicas, and the template that imports for ever.
    wait_until(lambda: len(gateway.below()) >= 5, 20)
    below = gateway.below()
    kill(gateway.pid)
    wait_until(lambda: not any(exists(pid) for pid in below), 2)
    late.join()


def test_a_stop_in_good_order(own_gateway, slow):
    gateway = own_gateway()
    deploy(gateway, "forked", slow, replicas=2)
    gateway.stop()


def test_a_gateway_that_comes_back(own_gateway, slow):
    gateway = own_gateway()
    deploy(gateway, "forked", slow)
    gateway.stop()
    gateway.start()
    gateway.wait_ready("forked")
    seen = look(gateway.client, "forked")
    assert seen["parent"] == seen["owner"]


@pytest.mark.alone
def test_the_cold_start_of_a_handler_with_numpy(own_gateway, capsys):
    """From a call to its reply where the function is stopped, in turn; the imports are the difference."""
    gateway = own_gateway()
    handler = ("import numpy\n"
               "def Handler(req): return str(int((numpy.ones((300, 300)) @ numpy.ones((300, 300)))[0, 0]))\n")
    files = {"handler.py": handler, "requirements.txt": "numpy\n"}
    cold = {"replicas": {"min": 0, "max": 1}, "timeout": {"idle": "100ms"}}
    gateway.deploy("echo", config=cold)
    gateway.deploy("plain", None, files=files, config=cold)
    gateway.deploy("forked", None, files=files, config={"preload": ["numpy"], **cold})
    took = {"echo": [], "plain": [], "forked": []}
    for _ in range(length(9, 50)):
        for name, times in took.items():
            wait_until(lambda name=name: not gateway.replicas(name), 20, "stopped")
            began = time.perf_counter()
            answer = gateway.client.invoke(name, b"x", timeout=20)
            times.append((time.perf_counter() - began) * 1000)
            assert answer == ("x" if name == "echo" else "300")
    figures = {name: round(sorted(times)[len(times) // 2], 1) for name, times in took.items()}
    with capsys.disabled():
        print("\nfrom a call to its reply, cold, median, ms:", figures)
    assert figures["forked"] < figures["plain"]


def test_the_template_of_an_idle_function_stays(gateway, client, slow):
    deploy(gateway, "idle", slow, replicas={"min": 0, "max": 1}, timeout={"idle": "300ms"})
    first = look(client, "idle")
    wait_until(lambda: not gateway.replicas("idle"), 20, "stopped")
    assert exists(first["parent"])
    second = look(client, "idle")
    assert second["parent"] == first["parent"] and second["pid"] != first["pid"]
    wait_until(lambda: client.log("idle").count("importing slowly") == 1, 10, "the import is in the log, once")
    wait_until(lambda: not gateway.replicas("idle"), 20, "stopped again")
    gateway.delete("idle")
    wait_until(lambda: not exists(first["parent"]), 5, "the template gone")


def test_a_stop_while_a_function_is_idle(own_gateway, slow):
    gateway = own_gateway()
    deploy(gateway, "idle", slow, replicas={"min": 0, "max": 1}, timeout={"idle": "300ms"})
    template = look(gateway.client, "idle")["parent"]
    wait_until(lambda: not gateway.replicas("idle"), 20, "stopped")
    assert exists(template)
    gateway.stop()
    assert not exists(template)

