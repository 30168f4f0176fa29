"""Replicas that die, use too much, or never start; what their log says."""
import contextlib
import os
import pathlib
import re
import resource
import shutil
import signal
import sqlite3
import time

import grpc
import pytest

from support import FULL, length
from support.background import background
from support.client import Refused, outcome, pb, refused
from support.processes import descriptors, exists, kill, real, threads
from support.waiting import pause, wait_until


def test_a_replica_that_was_killed_is_replaced(gateway, client):
    gateway.deploy("echo")
    pid = gateway.replicas("echo")[0]
    kill(pid)
    wait_until(lambda: gateway.replicas("echo") not in ([], [0], [pid]) and client.meta("echo").Status == "Ready", 20)
    assert client.invoke("echo", b"x") == "x"


def test_a_call_that_was_with_the_dead_watcher(gateway, client):
    gateway.deploy("sleeper")
    call = client.occupy("sleeper", b"30", b"0")
    queued = client.begin("sleeper", b"0")
    kill(gateway.replicas("sleeper")[0])
    with pytest.raises(grpc.RpcError) as caught:
        call.result()
    error = Refused(caught.value)
    assert (error.name, error.executed) == ("UNAVAILABLE", "maybe")
    assert error.trailers["grpc-retry-pushback-ms"] == "-1"
    assert queued.result().Output == b"awake"  # What was not sent runs on the next one.


@pytest.mark.parametrize("how, says", [
    ("die 0", "exit status 0"), ("die 3", "exit status 3"), ("segfault", "signal 11 (SIGSEGV)"),
    ("abort", "signal 6 (SIGABRT)"), ("kill", "signal 9 (SIGKILL)")])
def test_how_a_replica_ended_is_in_the_log_and_told_to_its_caller(gateway, client, how, says):
    gateway.deploy("faults", None, "--replace")
    pid = real(client.invoke("faults", b"pid"))
    if how == "kill":
        call = client.occupy("faults", b"sleep 60", b"pid")
        kill(pid)
        error = outcome(call)
    else:
        error = refused(client.invoke, "faults", how.encode())
    assert (error.name, error.executed) == ("UNAVAILABLE", "maybe") and says in error.message, error
    wait_until(lambda: re.search(rf"replica \d+ died: {re.escape(says)}", client.log("faults")), 5,
               f"{says} in the log")


@pytest.mark.parametrize("how, says",
                         [("os._exit(4)", "exit status 4"), ("os.kill(os.getpid(), 9)", "signal 9 (SIGKILL)")])
def test_how_a_replica_ended_that_never_was_ready(gateway, client, how, says):
    code = (f"import os, sys\nprint('about to end', file=sys.stderr, flush=True)\n{how}\ndef Handler(req):\n"
            f"    return 1\n")
    done = gateway.deploy("ends", files={"handler.py": code}, check=False)
    assert done.returncode == 1 and "ended before the handler was constructed" in done.error and says in done.error, (
        done.error)
    assert "ends" not in client.names()


def backing_off(client, name, restarts, says):
    """Waits until so many starts have failed and it waits for the next; what is shown of it then."""
    def shown():
        function = client.meta(name)
        instances = function.Instances
        waits = instances and instances[0].Restarts >= restarts and instances[0].State == "Waiting"
        return function if waits and "next try in" in function.Reason else None

    function = wait_until(shown, 60, f"{name} waits for its next start")
    assert function.Status == "Degraded" and says in function.Reason, function
    return function


# How long the pauses are is a policy of the gateway's; an engine's own time hides it.
@pytest.mark.process
@pytest.mark.fault("A3")
def test_a_constructor_that_raises_for_ever_after(gateway, client, tmp_path):
    flag = tmp_path / "flag"
    gateway.deploy("flag", config={"parameters": {"flag": str(flag)}, "timeout": {"call": "1s"}})
    pid = real(client.invoke("flag", timeout=30))
    flag.touch()
    kill(pid)
    backing_off(client, "flag", 6, "bad weights")
    # Calls wait for the next start; whose time is up before that is told why.
    error = refused(client.invoke, "flag", timeout=30)
    assert (error.name, error.executed) == ("DEADLINE_EXCEEDED", "no") and "bad weights" in error.message, error
    assert "bad weights" in gateway.dcf("function", "list").text
    wait_until(lambda: "next try in" in client.log("flag"), 20, "a long pause is in the log")
    # It is never given up.
    flag.unlink()
    gateway.wait_ready("flag", 60)
    assert real(client.invoke("flag")) != pid
    assert client.meta("flag").Reason == ""


def test_a_back_off_ends_by_a_restart_or_an_update(gateway, client, tmp_path):
    flag = tmp_path / "flag"
    config = {"parameters": {"flag": str(flag)}}
    gateway.deploy("flag", None, "--replace", config=config)
    flag.touch()
    kill(real(client.invoke("flag")))
    backing_off(client, "flag", 3, "bad weights")
    # It tries at once, and says what came of it.
    done = gateway.dcf("function", "restart", "flag", check=False)
    assert done.returncode == 1 and "bad weights" in done.error, done.error
    flag.unlink()
    gateway.dcf("function", "restart", "flag")
    assert client.meta("flag").Status == "Ready"
    flag.touch()
    kill(real(client.invoke("flag")))
    backing_off(client, "flag", 3, "bad weights")
    gateway.deploy("flag", "echo", "--update", config=config)
    assert client.meta("flag").Status == "Ready"
    assert client.invoke("flag", b"x") == "x"


@pytest.mark.process
@pytest.mark.fault("A3")
def test_what_a_constructor_needs_is_away_while_the_gateway_starts(own_gateway, tmp_path):
    """What was acknowledged once is tried for as long as it takes, also over restarts of the gateway."""
    flag = tmp_path / "flag"
    gateway = own_gateway()
    gateway.deploy("flag", config={"parameters": {"flag": str(flag)}})
    gateway.deploy("cold", "flag", config={
        "parameters": {"flag": str(flag)}, "replicas": {"min": 0, "max": 1}, "timeout": {"idle": "300ms"}})
    flag.touch()
    for _ in range(2):
        gateway.kill()
        gateway.start()
        backing_off(gateway.client, "flag", 4, "bad weights")
    waiting = gateway.client.begin("cold", timeout=60)
    backing_off(gateway.client, "cold", 4, "bad weights")
    flag.unlink()
    gateway.wait_ready("flag", 60)
    assert outcome(waiting, 60)
    assert gateway.client.invoke("flag")
    gateway.stop()


@pytest.mark.process
def test_an_interpreter_that_is_away_while_the_gateway_starts(own_gateway, tmp_path):
    """Nor is that for good: the environment cannot be made, and is tried again."""
    python = tmp_path / "python3"
    python.symlink_to(os.path.realpath(shutil.which("python3")))
    gateway = own_gateway("--python", str(python))
    gateway.deploy("echo")
    gateway.kill()
    python.unlink()
    shutil.rmtree(gateway.data / "environments")
    gateway.start()
    shown = wait_until(
        lambda: (f := gateway.client.meta("echo")).Reason.count("next try in") and f, 30,
        "it says when the next try is")
    assert shown.Status == "Degraded" and str(python) in shown.Reason, shown
    python.symlink_to(os.path.realpath(shutil.which("python3")))
    gateway.wait_ready("echo", 60)
    assert gateway.client.invoke("echo", b"x") == "x"
    gateway.stop()


def test_a_version_that_only_its_author_can_mend(own_gateway):
    """A config that this gateway cannot read: Failed, until an update."""
    gateway = own_gateway()
    gateway.deploy("echo")
    gateway.stop()
    with contextlib.closing(sqlite3.connect(gateway.data / "registry.sqlite")) as registry, registry:
        registry.execute("UPDATE version SET config = 'from_the_future: 1'")
    gateway.start()
    client = gateway.client
    assert client.meta("echo").Status == "Failed" and "from_the_future" in client.meta("echo").Reason
    error = refused(client.invoke, "echo", b"x", timeout=30)
    assert (error.name, error.executed) == ("FAILED_PRECONDITION", "no") and "from_the_future" in error.message, error
    gateway.deploy("echo", None, "--update")
    assert client.meta("echo").Status == "Ready" and client.invoke("echo", b"x") == "x"
    gateway.stop()


@pytest.mark.process
@pytest.mark.fault("H4")
def test_the_gateway_is_out_of_descriptors_while_a_watcher_dies(own_gateway):
    gateway = own_gateway()
    client = gateway.client
    gateway.deploy("echo")
    gateway.deploy("cold", "echo", config={"replicas": {"min": 0, "max": 1}, "timeout": {"idle": "300ms"}})
    wait_until(lambda: client.meta("cold").Status == "Idle", 20, "idle")
    pid = gateway.replicas("echo")[0]
    soft, hard = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
    # What is open stays open. One descriptor is left, and those that the dead replica gives back; a start needs more.
    # With none left, libdispatch may end the gateway: its monitor of threads takes a file of /proc that it cannot open
    # for a thread that is gone.
    used = descriptors_at_rest(gateway.pid)
    free = [number for number in range(max(used) + 3) if number not in used]
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (free[1], hard))
    try:
        kill(pid)
        wait_until(lambda: client.meta("echo").AvailableReplicas == 0, 10, "the replica is missed")
        waiting = [client.begin(name, b"x") for name in ("echo", "cold") for _ in range(3)]
        # As long as it takes to be given up, as it once was.
        for name in ("echo", "cold"):
            shown = wait_until(lambda name=name: (f := client.meta(name)).Instances and f.Instances[0].Restarts >= 6
                               and "next try" in f.Reason and f, 30, f"{name} is tried")
            assert shown.Status == "Degraded", shown
    finally:
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert [outcome(call) for call in waiting] == [b"x"] * 6
    gateway.wait_ready("echo")
    gateway.stop()


def descriptors_at_rest(pid):
    """The descriptors that a process has open, without those that it has open for a moment only."""
    seen = []

    def is_at_rest():
        seen.append(set(descriptors(pid)))
        return len(seen) > 20 and seen[-20:] == seen[-1:] * 20

    wait_until(is_at_rest, 60, "no descriptor comes or goes for a second", every=0.05)
    return seen[-1]


@pytest.mark.process
@pytest.mark.fault("H4")
def test_the_watchers_socket_is_removed(own_gateway):
    gateway = own_gateway()
    gateway.deploy("echo")
    for what in ("link.sock", ""):
        path = gateway.data / "run" / what
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        pid = gateway.replicas("echo")[0]
        kill(pid)
        wait_until(lambda pid=pid: gateway.replicas("echo") not in ([], [0], [pid]), 20, "another replica")
        gateway.wait_ready("echo")
        assert gateway.client.invoke("echo", b"x") == "x"
    gateway.stop()


@pytest.mark.process
@pytest.mark.fault("H3")
def test_the_limit_starts(own_gateway, calls):
    """One constructor at a time; who waits says so, and one that only waits itself holds nobody up."""
    gateway = own_gateway("--limit", "starts=1")
    config = calls.config(parameters={"hold_constructor": True})
    for name in ("a", "b"):
        path = gateway.write(name, "held", config=config)
        done = background(gateway.dcf, "function", "create", "-f", str(path))
        calls.next().returns()
        done.result()
    gateway.kill()
    gateway.start()
    first = calls.next()
    wanted = "waits for its turn: 1 other is starting"
    waits = wait_until(lambda: [f for f in gateway.client.stub.List(pb.Empty()).Functions if f.Reason == wanted], 10,
                       "one waits")
    assert [f.Status for f in waits] == ["Starting"]
    # It uses no processor: after a moment it is the other's turn as well.
    second = calls.next()
    assert second.pid != first.pid and gateway.client.meta(waits[0].Name).Reason == ""
    for one in (second, first):
        one.returns()
    for name in ("a", "b"):
        gateway.wait_ready(name)
    gateway.stop()


@pytest.mark.alone
@pytest.mark.process
@pytest.mark.fault("H3")
def test_a_restart_with_many_constructors_that_compute(own_gateway, tmp_path):
    seconds, functions = length((0.3, 6), (1.0, 50))
    made = tmp_path / "made"
    code = f"""
import os, time
class Handler:
    def __init__(self):
        began, used = time.monotonic(), time.process_time()
        while time.process_time() - used < {seconds}: sum(i * i for i in range(10000))
        with open({str(made)!r}, "a") as file: file.write(f"{{began}} {{time.monotonic()}}\\n")
    def __call__(self, req): return "fine"
"""
    gateway = own_gateway("--limit", "starts=2")
    names = [f"h{number}" for number in range(functions)]
    for name in names:
        gateway.deploy(name, files={"handler.py": code})
    gateway.kill()
    made.unlink()
    gateway.start()
    last = f"h{functions - 1}"
    # Who has waiting calls comes first; all of them come.
    call = gateway.client.begin(last, timeout=120)
    for name in names:
        gateway.wait_ready(name, 300)
    assert outcome(call, 60) == b"fine"
    spans = sorted(tuple(map(float, line.split())) for line in made.read_text().splitlines())
    assert len(spans) == functions, "each constructor ran once"
    for began, _ in spans:
        assert sum(1 for other, ended in spans if other <= began < ended) <= 2, "two at a time"
    assert all(instance.Restarts == 0 for name in names for instance in gateway.client.meta(name).Instances)
    if FULL:
        took, work = max(end for _, end in spans) - spans[0][0], sum(end - began for began, end in spans)
        assert took < 1.3 * work / 2, f"{took} s for {work} s of constructors on two turns"
    gateway.stop()


@pytest.mark.fault("A4")
def test_a_constructor_that_never_returns(gateway, client, tmp_path):
    hang = tmp_path / "hang"
    hang.touch()
    before = gateway.below()
    began = time.monotonic()
    done = gateway.deploy("hangs", "flag", check=False, config={
        "parameters": {"flag": "/nowhere", "hang": str(hang)}, "timeout": {"start": "2s"}})
    assert done.returncode == 1 and "2" in done.error and "start" in done.error
    assert time.monotonic() - began < 30
    assert "hangs" not in client.names()
    wait_until(lambda: gateway.below() <= before, 10, "the whole group gone")


def test_a_restart_after_ready_whose_constructor_hangs(gateway, client, tmp_path):
    hang = tmp_path / "hang"
    gateway.deploy("hangs", "flag", config={
        "parameters": {"flag": "/nowhere", "hang": str(hang)}, "timeout": {"start": "3s"}})
    hang.touch()
    kill(real(client.invoke("hangs")))
    backing_off(client, "hangs", 2, "the constructor had not returned after 3.0 s (timeout.start)")
    hang.unlink()
    gateway.wait_ready("hangs", 60)


@pytest.mark.process
def test_limits_memory(gateway, client):
    gateway.deploy("memory", config={"limits": {"memory": "200M"}})
    pid = gateway.replicas("memory")[0]
    assert client.invoke("memory", b"20") == "held"
    with contextlib.suppress(Exception):
        client.invoke("memory", b"400", timeout=10)
    wait_until(lambda: not exists(pid), 10, "the replica over its limit ended")
    gateway.wait_ready("memory")
    log = wait_until(lambda: "200" in (text := client.log("memory")) and text, 5)
    assert "memory" in log.lower()


@pytest.mark.process
def test_limits_cpu(gateway, client):
    import json

    gateway.deploy("info", config={"limits": {"cpu": "1"}})
    seen = json.loads(client.invoke("info"))
    assert seen["affinity"] == 1 and seen["environment"]["OMP_NUM_THREADS"] == "1"


def test_log_lines_have_time_replica_stream_and_request(gateway, client):
    gateway.deploy("noisy")
    client.invoke("noisy", b"say find me")
    # The two streams are two ways; which of them is faster is nobody's promise.
    log = wait_until(lambda: "find me (stderr)" in (text := client.log("noisy")) and "find me\n" in text and text, 5)
    out = next(line for line in log.splitlines() if line.endswith("find me"))
    error = next(line for line in log.splitlines() if line.endswith("find me (stderr)"))
    assert out.split()[0][:4] == time.strftime("%Y", time.gmtime()) and "out" in out and "err" in error
    identity = [w for w in out.split() if w in error.split() and len(w) > 8]
    assert identity, "both lines carry the same request id"
    client.invoke("noisy", b"binary")
    wait_until(lambda: "before �� after" in client.log("noisy"), 5, "invalid bytes replaced")


def test_a_log_is_bounded_and_rotated(own_gateway):
    gateway = own_gateway("--limit", "log-file=1MiB")
    gateway.deploy("noisy")
    for _ in range(8):
        gateway.client.invoke("noisy", b"lines 8000")
        pause(1)  # Under 1 MiB a second, so that lines are kept.
    files = list((gateway.data / "logs/noisy").iterdir())
    assert {"log", "log.1"} <= {f.name for f in files} and len(files) <= 5
    assert all(f.stat().st_size <= (1 << 20) + 70_000 for f in files)
    assert len(gateway.client.log("noisy").encode()) <= 1 << 20


def test_follow_log(gateway, client):
    gateway.deploy("noisy", None, "--replace")
    client.invoke("noisy", b"say old words")
    wait_until(lambda: "old words" in client.log("noisy"), 5)
    follow = client.stub.FollowLog(pb.LogRequest(FunctionName="noisy", Tail=1, Follow=True), timeout=30)
    seen = b""
    while b"old words" not in seen:
        seen += next(follow).Output
    client.invoke("noisy", b"say new words")
    while b"new words (stderr)" not in seen:
        seen += next(follow).Output
    follow.cancel()
    past = b"".join(m.Output for m in client.stub.FollowLog(pb.LogRequest(FunctionName="noisy", Tail=1), timeout=10))
    assert past.count(b"\n") == 1


def test_a_watcher_has_its_name_and_ends_with_its_group(gateway, client):
    gateway.deploy("faults", None, "--replace")
    pid = gateway.replicas("faults")[0]
    assert "dcf-watcher" in threads(pid) or pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "dcf-watcher"
    child = real(client.invoke("faults", b"fork_stay"))
    assert exists(child)
    gateway.delete("faults")
    wait_until(lambda: not exists(pid) and not exists(child), 10, "the watcher and its child gone")


def test_a_stopped_watcher(gateway, client):
    """SIGSTOP is the nearest to a handler that holds everything: the caller has its deadline all the same."""
    gateway.deploy("echo", None, "--replace")
    pid = gateway.replicas("echo")[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert refused(client.invoke, "echo", b"x", timeout=0.5).name == "DEADLINE_EXCEEDED"
    finally:
        kill(pid, signal.SIGCONT)
    wait_until(lambda: client.meta("echo").Status == "Ready", 30)
    assert client.invoke("echo", b"x") == "x"
