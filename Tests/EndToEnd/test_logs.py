"""Logs that nobody reads, that come and go, and whose disks do not answer: nothing else waits for them."""
import array
import fcntl
import os
import random
import re
import signal
import subprocess
import termios
import threading
import time

import grpc
import pytest

from support import length
from support.background import background
from support.client import Client, pb, refused
from support.gateway import BIN
from support.processes import real
from support.waiting import wait_until

#: What a shell starts in the background ignores SIGINT.
INTERRUPTIBLE = ("env", "--default-signal=INT")

#: Where a line of the gateway's own log begins.
RECORD = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\S* \w+ dcf-gateway:.*? \[\w+\] ")


def follow_and_leave(client, name, seed, rounds):
    """Follows a log again and again, and leaves it at some moment."""
    chance, calls = random.Random(seed), 0
    for _ in range(rounds):
        lines, seen, enough = client.stub.FollowLog(
            pb.LogRequest(FunctionName=name, Tail=5, Follow=True)), 0, chance.randrange(40)
        try:
            for _ in lines:
                seen += 1
                if seen > enough:
                    lines.cancel()
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.CANCELLED, error
        calls += 1
    return calls


def follow_and_interrupt(gateway, name, rounds):
    """`dcf function log --follow`, ended with Ctrl-C as soon as it has printed something."""
    for _ in range(rounds):
        follow = subprocess.Popen(
            [*INTERRUPTIBLE, str(BIN / "dcf"), "function", "log", name, "--follow", "-g", gateway.address],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            assert follow.stdout.readline()
        finally:
            follow.send_signal(signal.SIGINT)
            follow.wait(30)
            follow.stdout.close()


@pytest.mark.alone
@pytest.mark.fault("H1")
@pytest.mark.process
def test_followers_that_come_and_go_while_the_function_prints(own_gateway):
    gateway = own_gateway()
    gateway.deploy("noisy")
    gateway.deploy("sleeper")
    over = threading.Event()

    def write():
        with Client(gateway.address) as client:
            while not over.is_set():
                client.invoke("noisy", b"lines 20", timeout=60)

    writers = [background(write) for _ in range(2)]
    clients = [Client(gateway.address) for _ in range(4)]
    followers = [
        background(follow_and_leave, client, "noisy", seed, length(20, 250)) for seed, client in enumerate(clients)]
    followers += [background(follow_and_interrupt, gateway, "noisy", length(3, 170)) for _ in range(2)]
    for follower in followers:
        follower.result(length(120, 1800))
    over.set()
    for writer in writers:
        writer.result(60)
    for client in clients:
        client.close()
    # Management, logs and deadlines go on.
    assert gateway.client.names() == ["noisy", "sleeper"]
    gateway.deploy("echo")
    assert gateway.client.invoke("echo", b"x") == "x"
    began = time.monotonic()
    assert refused(gateway.client.invoke, "sleeper", b"30", timeout=1).name == "DEADLINE_EXCEEDED"
    assert time.monotonic() - began < 5
    gateway.client.invoke("noisy", b"say the last words")
    wait_until(lambda: "the last words" in gateway.client.log("noisy"), 10, "the log goes on")
    gateway.stop()


#: Has the gRPC library say very much.
NOISE = {"GRPC_VERBOSITY": "DEBUG", "GRPC_TRACE": "http"}


def unread(pipe):
    """Bytes in a pipe that nobody has read."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


@pytest.mark.fault("H8")
@pytest.mark.process
def test_standard_error_that_nobody_reads(own_gateway):
    gateway = own_gateway(start=False)
    gateway.log = gateway.folder / "nothing"
    gateway.log.touch()
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        gateway.process = subprocess.Popen(
            [str(BIN / "dcf-gateway"), "--data-dir", str(gateway.data), "--listen", "127.0.0.1:0", "--log-level",
             "debug", "--limit", "own-log-queue=2KiB"],
            env={**os.environ, **NOISE}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writing,
            start_new_session=True)
        os.close(writing)
        said = b""
        while not (found := re.search(rb"listening on (\S+:\d+)", said)):
            said += os.read(reading, 4096)
        gateway.address = found[1].decode()
        gateway.deploy("faults")
        gateway.deploy("echo")

        def die():
            real(gateway.client.invoke("faults", b"pid", timeout=30))
            assert refused(gateway.client.invoke, "faults", b"die 3", timeout=30).name == "UNAVAILABLE"

        # Not one line more than that has room.
        wait_until(lambda: gateway.client.names() and unread(reading) > 4096 - 1200, 30, "the pipe is full")
        for _ in range(5):
            die()
        # Supervision goes on, and so do calls and management.
        gateway.wait_ready("faults")
        assert gateway.client.invoke("echo", b"x") == "x"
        gateway.deploy("plain")
        gateway.stop()
    finally:
        os.close(reading)


@pytest.mark.fault("H8")
@pytest.mark.process
def test_one_log_whose_disk_stalls(own_gateway):
    gateway = own_gateway("--limit", "log-queue=64KiB")
    for name in ("noisy", "other"):
        gateway.deploy(name, "noisy")
    # Whoever opens a pipe that nobody reads waits, and so does whoever writes to a full one.
    path = gateway.data / "logs/noisy/log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    for _ in range(10):
        # More than a pipe holds: the handler does not wait for the disk.
        assert gateway.client.invoke("noisy", b"lines 2000", timeout=30) == "done"
    gateway.client.invoke("other", b"say hello")
    wait_until(lambda: "hello (stderr)" in gateway.client.log("other"), 10, "another's log goes on")
    wait_until(lambda: "hello (stderr)" in (gateway.data / "logs/other/log").read_text(), 10,
               "another's log is written")
    os.kill(gateway.replicas("noisy")[0], signal.SIGKILL)
    gateway.wait_ready("noisy")
    gateway.deploy("echo")
    assert gateway.client.invoke("echo", b"x") == "x"
    # The disk is well again.
    reader = os.open(path, os.O_RDONLY)
    try:
        said = b""
        while b"again" not in said:
            # Again and again: while the log still has no room it drops the line.
            gateway.client.invoke("noisy", b"say again")
            said += os.read(reader, 1 << 16)
    finally:
        os.close(reader)
    assert re.search(rb"[1-9]\d* lines dropped: the log could not be written", said), said[-4000:]
    path.unlink()
    gateway.client.invoke("noisy", b"say on a file")
    wait_until(lambda: path.exists() and "on a file (stderr)" in path.read_text(), 10, "a file of its own again")
    # One that stalls does not keep the gateway from its end.
    path.unlink()
    os.mkfifo(path)
    gateway.client.invoke("noisy", b"say what nobody reads")
    gateway.stop()


@pytest.mark.process
def test_a_log_that_was_removed_is_made_again(gateway, client):
    gateway.deploy("noisy", None, "--replace")
    folder = gateway.data / "logs/noisy"
    client.invoke("noisy", b"say before")
    # By both streams: what comes later would be in the new one.
    wait_until(lambda: folder.exists() and (folder / "log").read_text().count("before") == 2, 10, "the log")
    subprocess.run(["rm", "-r", str(folder)], check=True)
    client.invoke("noisy", b"say after")
    wait_until(lambda: folder.exists() and "after (stderr)" in (folder / "log").read_text(), 10, "the log, again")
    assert "after" in client.log("noisy") and "before" not in client.log("noisy")


def test_what_the_grpc_library_says(own_gateway):
    """It is shown by --log-level debug alone, one record a line, and not too much of it."""
    gateway = own_gateway("--log-level", "debug", environment=NOISE)
    gateway.deploy("echo")
    def called():
        for _ in range(50):
            gateway.client.invoke("echo", b"\x1b[31m\r\nred")
        return "records before it were not written" in gateway.text()

    wait_until(called, 60, "more than is written")
    gateway.stop()
    lines = gateway.text().splitlines()
    assert all(RECORD.match(line) for line in lines), [line for line in lines if not RECORD.match(line)][:3]
    records = [line for line in lines if "] gRPC: " in line]
    assert not any(ord(c) < 0x20 for line in records for c in line)
    seconds = [RECORD.match(line)[1] for line in records]
    # Ten in a second that begins anywhere.
    assert max(seconds.count(second) for second in set(seconds)) <= 20
    quiet = own_gateway(environment=NOISE)
    quiet.deploy("echo")
    quiet.stop()
    assert "gRPC: " not in quiet.text() and all(RECORD.match(line) for line in quiet.text().splitlines())
