"""Nothing outlives its replica, wherever it went; see functions/leaver."""
import os
import pathlib
import random
import signal
import subprocess
import time

import pytest

from support import FULL
from support.client import refused
from support.gateway import BIN
from support.processes import command, descendants, exists, kill
from support.waiting import wait_until

pytestmark = pytest.mark.process

#: What a leaver's constructor starts, at least.
LEFT = 20
#: Two seconds is what is promised; the machine may be busy.
SECONDS = 6


@pytest.fixture
def mark():
    """What `sleep` takes for a time, and nobody else has among its arguments."""
    return f"600.{random.randrange(10 ** 9):09}1"


def alive(mark):
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark.encode() in words and exists(int(entry)):
                found.add(int(entry))
    return found


def deploy(gateway, mark, *flags, name="leaver", **config):
    gateway.deploy(name, "leaver", *flags, config={"parameters": {"mark": mark}, **config})


def all_there(mark):
    return wait_until(lambda: (found := alive(mark)) and len(found) >= LEFT and found, 20, "the leaver has left all")


def gone(before, why):
    wait_until(lambda: not [pid for pid in before if exists(pid)], SECONDS, f"all gone after {why}")


def anew(gateway, before, name="leaver"):
    """Another replica has taken the place of one that ended."""
    wait_until(lambda: gateway.replicas(name) not in ([], [0], before), 20, "another replica")
    gateway.wait_ready(name)


@pytest.mark.parametrize("config", [{}, {"preload": ["json"]}], ids=["process", "forked"])
def test_nothing_outlives_its_replica(own_gateway, mark, config):
    gateway = own_gateway("--limit", "overrun-grace=0.2s")
    deploy(gateway, mark, timeout={"call": "1s"}, **config)
    ends = {
        "kill -9 of the watcher": lambda: kill(gateway.replicas("leaver")[0]),
        "an exit of its own": lambda: refused(gateway.client.invoke, "leaver", b"exit"),
        "an overrun": lambda: refused(gateway.client.invoke, "leaver", b"sleep 600"),
        "an update": lambda: deploy(gateway, mark, "--update", timeout={"call": "1s"}, **config),
        "a restart": lambda: gateway.dcf("function", "restart", "leaver"),
    }
    for why, end in ends.items():
        before, pids = all_there(mark), gateway.replicas("leaver")
        end()
        gone(before, why)
        anew(gateway, pids)
    all_there(mark)
    gateway.delete("leaver")
    wait_until(lambda: not alive(mark), SECONDS, "all gone after the delete")
    assert "leaver" not in gateway.client.names()


@pytest.mark.fault("A2")
def test_nothing_outlives_the_gateway(own_gateway, mark):
    gateway = own_gateway()
    deploy(gateway, mark)
    deploy(gateway, mark, name="forked", preload=["json"])
    for end in (gateway.stop, gateway.kill):
        wait_until(lambda: len(alive(mark)) >= 2 * LEFT, 20, "both have left all")
        end()
        wait_until(lambda: not alive(mark), SECONDS, f"all gone after {end.__name__}")
        gateway.start()
        gateway.wait_ready("leaver")
        gateway.wait_ready("forked")
    # What is killed together with the gateway leaves nothing either.
    pids = gateway.replicas("leaver") + gateway.replicas("forked")
    wait_until(lambda: len(alive(mark)) >= 2 * LEFT, 20, "both have left all")
    for pid in pids:
        kill(pid)
    gateway.kill()
    wait_until(lambda: not alive(mark), SECONDS, "all gone after the gateway and the watchers were killed")


def sweepers():
    """The processes that stand beside gateways and trials; orphans, and so the tests' own."""
    return {pid for pid in descendants(os.getpid()) if "--sweep" in command(pid)}


def test_what_ends_the_rest_may_be_killed_too(own_gateway, mark):
    before = sweepers()
    gateway = own_gateway()
    (sweeper,) = sweepers() - before
    kill(sweeper)
    wait_until(lambda: not exists(sweeper), 5, "it is gone")
    deploy(gateway, mark)
    all_there(mark)
    assert len(sweepers() - before) == 1
    gateway.kill()
    wait_until(lambda: not alive(mark), SECONDS, "all gone")
    wait_until(lambda: not sweepers() - before, SECONDS, "and itself")


def test_the_gateways_temporary_folder_is_its_handlers(own_gateway, tmp_path):
    gateway = own_gateway(environment={"TMPDIR": str(tmp_path)})
    source = "import tempfile\ndef Handler(req): return tempfile.gettempdir()\n"
    gateway.deploy("where", None, files={"handler.py": source})
    assert gateway.client.invoke("where") == str(tmp_path)
    path = gateway.write("where", files={"handler.py": source})
    assert gateway.dcf("function", "run", "where", "-f", str(path), environment={"TMPDIR": str(tmp_path)}).text == str(
        tmp_path)


def test_what_forks_on_and_on_is_caught(own_gateway, mark):
    gateway = own_gateway()
    deploy(gateway, mark)
    gateway.client.invoke("leaver", b"bomb")
    wait_until(lambda: len(alive(mark)) >= LEFT + 100, 20, "a tree of more than a hundred")
    gateway.client.invoke("leaver", b"fork 2")
    kill(gateway.replicas("leaver")[0])
    wait_until(lambda: len(alive(mark)) < LEFT + 50, 2 * SECONDS, "the replica's are gone")
    gateway.client.invoke("leaver", b"fork 2")
    gateway.kill()
    wait_until(lambda: not alive(mark), 2 * SECONDS, "all gone")


def test_memory_counts_wherever_it_is(gateway, client, mark):
    deploy(gateway, mark, limits={"memory": "140M"})
    (pid,) = gateway.replicas("leaver")
    # What several have together counts once: 80 MB here, not 320.
    client.invoke("leaver", b"share")
    client.invoke("leaver", b"sleep 2.5")
    assert gateway.replicas("leaver") == [pid]
    client.invoke("leaver", b"big")
    wait_until(lambda: not exists(pid), 20, "the replica over its limit ended")
    wait_until(lambda: "limits.memory is" in client.log("leaver"), 10, "why is in the log")
    gateway.delete("leaver")
    wait_until(lambda: not alive(mark), SECONDS, "all gone")


SHARING = """
from multiprocessing import Pool, shared_memory
class Handler:
    def __init__(self):
        # The workers, too, hold the pipe that the resource tracker waits for.
        self.memory = shared_memory.SharedMemory(create=True, size=1 << 16)
        self.pool = Pool(2)
        self.pool.map(abs, [1, 2])
    def __call__(self, req):
        return self.memory.name
"""


@pytest.mark.fault("H6")
def test_shared_memory_goes_when_its_replica_is_killed(own_gateway):
    gateway = own_gateway()
    gateway.deploy("sharing", None, files={"handler.py": SHARING})
    first = pathlib.Path("/dev/shm", gateway.client.invoke("sharing"))
    assert first.exists()
    pids = gateway.replicas("sharing")
    kill(pids[0])
    wait_until(lambda: not first.exists(), SECONDS, "the tracker has removed it")
    anew(gateway, pids, "sharing")
    second = pathlib.Path("/dev/shm", gateway.client.invoke("sharing"))
    assert second.exists()
    gateway.kill()
    wait_until(lambda: not second.exists(), SECONDS, "removed after the gateway's end, too")


BACKEND = """
import subprocess, time
subprocess.Popen(["sleep", "MARK"], start_new_session=True)
subprocess.Popen(["sh", "-c", "setsid sleep MARK & setsid env -i /bin/sleep MARK &"])
END
"""


def building(gateway, mark, end):
    """A function with a package of which the build leaves processes and then does that."""
    project = ('[project]\nname = "pk"\nversion = "1"\n'
               '[build-system]\nrequires = []\nbuild-backend = "be"\nbackend-path = ["."]\n')
    return gateway.write("built", files={
        "handler.py": "def Handler(req): return b''\n", "requirements.txt": "./pk\n", "pk/pyproject.toml": project,
        "pk/be.py": BACKEND.replace("MARK", mark).replace("END", end)})


@pytest.mark.parametrize("end", ["raise SystemExit('enough')"] + FULL * ["time.sleep(600)"])
def test_a_build_leaves_nothing(own_gateway, mark, end):
    gateway = own_gateway("--limit", "build-timeout=20s")
    path = building(gateway, mark, end)
    deploying = subprocess.Popen(
        [str(BIN / "dcf"), "function", "create", "-f", str(path), "-g", gateway.address],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if "sleep" in end:
        wait_until(lambda: len(alive(mark)) >= 3, 20, "the build is under way")
    assert deploying.wait(60) == 1
    wait_until(lambda: not alive(mark), SECONDS, "all gone")


@pytest.mark.fault("A2")
def test_a_build_leaves_nothing_when_the_gateway_is_killed(own_gateway, mark):
    gateway = own_gateway()
    path = building(gateway, mark, "time.sleep(600)")
    deploying = subprocess.Popen(
        [str(BIN / "dcf"), "function", "create", "-f", str(path), "-g", gateway.address],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(alive(mark)) >= 3, 100, "the build is under way")
    gateway.kill()
    wait_until(lambda: not alive(mark), SECONDS, "all gone")
    assert deploying.wait(30) == 1


@pytest.mark.parametrize("sign", [None, signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_trial_leaves_nothing(gateway, mark, sign):
    path = gateway.write("leaver", config={"parameters": {"mark": mark}})
    trial = subprocess.Popen(
        [str(BIN / "dcf"), "function", "run", "leaver", "-f", str(path)], stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    trial.stdin.write(b"pid" if sign is None else b"sleep 600")
    trial.stdin.close()
    if sign is not None:
        all_there(mark)
        os.kill(trial.pid, sign)
    trial.wait(30)
    wait_until(lambda: not alive(mark), SECONDS, "all gone")


@pytest.fixture
def delegated():
    """A control group that a process may have for its own."""
    mounts = [line.split() for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    places = [pathlib.Path(fields[4]) for fields in mounts if "cgroup2" in fields[fields.index("-"):]]
    if not places:
        pytest.skip("no cgroup v2 is mounted")
    own = pathlib.Path("/proc/self/cgroup").read_text().split("0::", 1)[1].split("\n", 1)[0]
    path = pathlib.Path(f"{places[0]}{own.rstrip('/')}", f"dcf-test-{os.getpid()}-{time.monotonic_ns()}")
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    yield path
    wait_until(lambda: not (path / "cgroup.procs").read_text(), 10, "nothing is in it")
    for inner in sorted(path.glob("**/"), reverse=True):
        inner.rmdir()


def test_with_a_control_group_of_its_own(own_gateway, delegated, mark):
    if not (delegated / "cgroup.kill").exists():
        pytest.skip("the kernel has no cgroup.kill (5.14)")
    gateway = own_gateway(wrapper=("/bin/sh", "-c", f'echo $$ > {delegated}/cgroup.procs; exec "$@"', "sh"))

    def groups():
        return {int(p) for each in delegated.glob("*/cgroup.procs") for p in each.read_text().split()}

    deploy(gateway, mark)
    deploy(gateway, mark, name="forked", preload=["json"])
    pids = gateway.replicas("leaver") + gateway.replicas("forked")
    wait_until(lambda: len(alive(mark)) >= 2 * LEFT, 20, "both have left all")
    # Some of what they started is about to end.
    wait_until(lambda: alive(mark) | set(pids) <= groups(), 5, "all are in the groups")
    # One for each replica, and the template's.
    assert len(list(delegated.glob("*/"))) == 3
    gateway.delete("leaver", "forked")
    wait_until(lambda: not alive(mark), SECONDS, "all gone")
    wait_until(lambda: not list(delegated.glob("*/")), SECONDS, "the groups are removed")
    deploy(gateway, mark)
    gateway.client.invoke("leaver", b"fork 2")
    gateway.kill()
    wait_until(lambda: not alive(mark), SECONDS, "all gone after kill -9")
    wait_until(lambda: not list(delegated.glob("*/")), SECONDS, "the groups are removed")
