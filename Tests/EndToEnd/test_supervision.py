"""Replicas that die, use too much, or never start; what their log says."""
import os
import re
import signal
import time

import grpc
import pytest

from support.client import Refused, outcome, pb, refused
from support.processes import exists, kill, real, threads
from support.waiting import wait_until


def test_a_replica_that_was_killed_is_replaced(gateway, client):
    gateway.deploy("echo")
    pid = gateway.replicas("echo")[0]
    kill(pid)
    wait_until(lambda: gateway.replicas("echo") not in ([], [pid]) and client.meta("echo").Status == "Ready", 20)
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
    ("die 0", "exit status 0"), ("die 3", "exit status 3"), ("segfault", "signal 11 (SIGSEGV)"), ("abort", "signal 6 (SIGABRT)"),
    ("kill", "signal 9 (SIGKILL)")])
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
    wait_until(lambda: re.search(rf"replica \d+ died: {re.escape(says)}", client.log("faults")), 5, f"{says} in the log")


@pytest.mark.parametrize("how, says", [("os._exit(4)", "exit status 4"), ("os.kill(os.getpid(), 9)", "signal 9 (SIGKILL)")])
def test_how_a_replica_ended_that_never_was_ready(gateway, client, how, says):
    code = f"import os, sys\nprint('about to end', file=sys.stderr, flush=True)\n{how}\ndef Handler(req):\n    return 1\n"
    done = gateway.deploy("ends", files={"handler.py": code}, check=False)
    assert done.returncode == 1 and "ended before the handler was constructed" in done.error and says in done.error, done.error
    assert "ends" not in client.names()


@pytest.mark.fault("A3")
def test_a_constructor_that_raises_for_ever_after(gateway, client, tmp_path):
    flag = tmp_path / "flag"
    gateway.deploy("flag", config={"parameters": {"flag": str(flag)}})
    pid = real(client.invoke("flag"))
    flag.touch()
    kill(pid)
    failed = wait_until(lambda: (f := client.meta("flag")).Status == "Failed" and f, 60, "Failed")
    assert "bad weights" in failed.Reason
    took = []
    for _ in range(50):
        began = time.perf_counter()
        error = refused(client.invoke, "flag", timeout=30)
        took.append(time.perf_counter() - began)
        assert (error.name, error.executed) == ("FAILED_PRECONDITION", "no") and "bad weights" in error.message
    assert sorted(took)[25] < 0.005
    # Failed ends by a restart.
    flag.unlink()
    gateway.dcf("function", "restart", "flag")
    gateway.wait_ready("flag")
    assert client.invoke("flag")


def test_failed_ends_by_an_update(gateway, client, tmp_path):
    flag = tmp_path / "flag"
    config = {"parameters": {"flag": str(flag)}}
    gateway.deploy("flag", None, "--replace", config=config)
    flag.touch()
    kill(real(client.invoke("flag")))
    wait_until(lambda: client.meta("flag").Status == "Failed", 60, "Failed")
    gateway.deploy("flag", "echo", "--update", config=config)
    assert client.invoke("flag", b"x") == "x"


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
        "parameters": {"flag": "/nowhere", "hang": str(hang)}, "timeout": {"start": "1s"}})
    hang.touch()
    kill(real(client.invoke("hangs")))
    failed = wait_until(lambda: (f := client.meta("hangs")).Status == "Failed" and f, 90, "Failed")
    assert "1" in failed.Reason


@pytest.mark.process
def test_limits_memory(gateway, client):
    gateway.deploy("memory", config={"limits": {"memory": "200M"}})
    pid = gateway.replicas("memory")[0]
    assert client.invoke("memory", b"20") == "held"
    try:
        client.invoke("memory", b"400", timeout=10)
    except Exception:
        pass
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
        time.sleep(1)  # Under 1 MiB a second, so that lines are kept.
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
    assert "dcf-watcher" in threads(pid) or open(f"/proc/{pid}/comm").read().strip() == "dcf-watcher"
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
