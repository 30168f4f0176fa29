"""A gateway on another machine: the link over TCP."""
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

import frames
from conftest import FULL
from inotify import Readers
from replica import FOREVER, PATIENCE, WATCHER, settings
from test_calls import ECHO

#: A peer that vanished is noticed within 3 to 4 seconds; a busy machine may need more.
NOTICED = 10
#: A handler that works for so many seconds.
SLOW = """
import time

def Handler(req):
    if req.input[:5] == b"sleep":
        print("begun", flush=True)
        time.sleep(float(req.input[5:]))
        return "slept"
    return bytes(req.input)
"""

#: Seconds of a call that is longer than the time after which a link without acknowledgements is taken for dead.
LONGER_THAN_A_DEAD_LINK = 6

#: The option of the link's own socket, which the handler finds among the process's descriptors.
NO_DELAY = """
import os, socket

def Handler(req):
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            is_socket = os.readlink("/proc/self/fd/" + number).startswith("socket:")
        except FileNotFoundError:
            continue
        if is_socket:
            with socket.socket(fileno=os.dup(int(number))) as each:
                if each.family == socket.AF_INET:
                    found.append(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    return repr(found)
"""


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE)
        yield listening


def launch(**environment):
    return subprocess.run([WATCHER], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE + 30, text=True,
                          env={"PATH": "/usr/bin:/bin", "DCF_TOKEN": "t", **environment})


# The handshake.

def test_both_prove_the_token_and_nobody_says_it(start, listener, each_python):
    replica = start(ECHO, tcp=listener, contained=True, python=each_python, environment={"DCF_TASK": "task-ü1"})
    hello = frames.Hello.of(replica.accept())
    assert (hello.token, hello.task) == ("", "task-ü1")
    assert hello.code == replica.code(b"dcf-link-1" + replica.nonce + "task-ü1".encode())
    assert b"secret-token" not in replica.hello.head
    replica.welcome()
    assert replica.receive().kind == frames.READY
    assert replica.reply(b"x") == b"x"
    replica.drain()
    assert replica.ended()
    assert replica.status() == 0


def test_on_a_unix_socket_nothing_has_changed(start):
    replica = start(ECHO, environment={"DCF_TASK": "task"})
    hello = frames.Hello.of(replica.accept())
    assert (hello.token, hello.task, hello.code, hello.nonce) == ("secret-token", "", b"", b"")
    replica.welcome()
    assert replica.receive().kind == frames.READY


def test_the_watchers_nonce_is_of_one_connection(start, listener, folder):
    first = start(ECHO, tcp=listener, folder=folder / "a")
    first.accept()
    second = start(ECHO, tcp=listener, folder=folder / "b")
    second.accept()
    assert frames.Hello.of(first.hello).nonce != frames.Hello.of(second.hello).nonce


@pytest.mark.parametrize("proof", [b"", bytes(32), None], ids=["none", "wrong", "of-another-connection"])
def test_a_gateway_that_does_not_know_the_token(start, listener, proof):
    replica = start(ECHO, tcp=listener, contained=True)
    replica.accept()
    if proof is None:
        proof = replica.code(b"dcf-gateway-1" + os.urandom(32))
    head = struct.pack("<HQ", 1, 64 << 20) + proof
    replica.send(frames.frame(frames.WELCOME, head, b"{}"))
    assert replica.status() == 70
    assert replica.err.all() == (b"dcf-watcher: frame welcome does not prove the token: what DCF_LINK names is not "
                                 b"this "
                                 b"function's gateway\n")


def test_a_token_that_the_gateway_does_not_know(start, listener):
    """The gateway closes the link before Welcome; the watcher logs the likely reason before it ends."""
    replica = start(ECHO, tcp=listener, contained=True)
    replica.accept()
    replica.link.close()
    assert replica.status() == 69
    assert replica.err.all().startswith(
        b"dcf-watcher: the gateway closed the link before it said Welcome: DCF_TOKEN is not the token of a replica")


def test_a_gateway_that_begins_with_something_else(start, listener):
    replica = start(ECHO, tcp=listener, contained=True)
    replica.link, _ = listener.accept()
    replica.send(frames.frame(frames.DRAIN))
    assert replica.status() == 70
    assert replica.err.all() == b"dcf-watcher: frame 17 came where Challenge was expected\n"


def test_the_token_may_be_in_a_file(start, listener, folder):
    (folder / "token").write_text("of-a-file\n")
    replica = start(ECHO, tcp=listener, contained=True,
                    environment={"DCF_TOKEN": "", "DCF_TOKEN_FILE": str(folder / "token")})
    replica.token = "of-a-file"
    assert replica.started().reply(b"x") == b"x"


def test_a_file_that_is_not_there():
    done = launch(DCF_LINK="tcp:127.0.0.1:1", DCF_TOKEN="", DCF_TOKEN_FILE="/no/token")
    assert (done.returncode, done.stderr) == (
        69, "dcf-watcher: DCF_TOKEN_FILE: /no/token cannot be read: No such file or directory\n")


@pytest.mark.parametrize("link", ["tcp:", "tcp:host", "tcp::1", "tcp:host:0", "tcp:host:65536", "tcp:host:x"])
def test_what_is_no_address(link):
    done = launch(DCF_LINK=link)
    assert (done.returncode, done.stderr) == (69, f'dcf-watcher: DCF_LINK: "{link}" is not tcp:HOST:PORT\n')


def test_a_task_with_a_long_name():
    done = launch(DCF_LINK="tcp:127.0.0.1:1", DCF_TASK="x" * 129)
    assert (done.returncode, done.stderr) == (69, "dcf-watcher: DCF_TASK has more than 128 bytes\n")


# Dialling.

def test_a_gateway_that_comes_later(start, folder):
    """The gateway before it stops while it is dialled."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        address = reserved.getsockname()
        replica = start(ECHO, tcp=reserved, contained=True)
        for _ in range(2):
            reserved.accept()[0].close()
    with socket.create_server(address) as listening:
        listening.settimeout(PATIENCE)
        replica._listener = listening
        assert replica.started().reply(b"x") == b"x"


def test_a_name_that_comes_later(start, folder):
    """An overlay network may publish a name late."""
    names = folder / "hosts"
    names.write_text("")
    enter = ["unshare", "--mount", "sh", "-c", f'mount --bind {names} /etc/hosts && exec "$@"', "sh"]
    if os.geteuid() != 0 or subprocess.run([*enter, "true"], capture_output=True).returncode != 0:
        pytest.skip("no mount namespaces here: it needs root")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE)
        port = listening.getsockname()[1]
        with Readers(names) as readers:
            replica = start(ECHO, tcp=listening, contained=True, inside=enter,
                            environment={"DCF_LINK": f"tcp:gateway.dcf-test.invalid:{port}"})
            # It has looked for the name while the file was empty.
            readers.wait(PATIENCE)
        assert replica.process.poll() is None
        names.write_text("127.0.0.1 gateway.dcf-test.invalid\n")
        assert replica.started().reply(b"x") == b"x"


@pytest.mark.alone
@pytest.mark.skipif(not FULL, reason="a minute of waiting: DCF_TEST_FULL=1")
def test_nobody_there_is_said_after_a_minute():
    began = time.monotonic()
    done = launch(DCF_LINK="tcp:127.0.0.1:1")
    assert (done.returncode, done.stderr) == (
        69, "dcf-watcher: the gateway at tcp:127.0.0.1:1 was not reached within 60 s: Connection refused\n")
    assert 55 < time.monotonic() - began < 70


def test_a_signal_ends_the_search(start, listener):
    replica = start(ECHO, tcp=listener, contained=True)
    # A watcher that dials a second time is searching.
    for _ in range(2):
        listener.accept()[0].close()
    replica.process.send_signal(signal.SIGTERM)
    assert replica.status() in (-signal.SIGTERM, 128 + signal.SIGTERM)


# Calls.

@pytest.mark.parametrize("size", [0, 1, 16 << 10, (16 << 10) + 1, 1 << 20, 64 << 20])
def test_bodies(start, listener, size):
    replica = start(ECHO, tcp=listener).started()
    data = os.urandom(size)
    assert replica.reply(data) == data


def test_small_frames_do_not_wait_for_each_other(start, listener):
    """Nagle's algorithm, which would hold a small frame back until the last one is acknowledged, is off."""
    assert start(NO_DELAY, tcp=listener).started().reply(b"") == b"[1]"


@pytest.mark.alone
@pytest.mark.parametrize("options", [{}, {"concurrency": 4}])
def test_large_inputs_sent_ahead_of_a_slow_call(start, listener, options):
    """While the watcher does not read, nothing is acknowledged; the link must not be taken for dead."""
    replica = start(SLOW, tcp=listener, settings=settings(**options)).started()
    replica.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 3000)
    data = bytes(4 << 20)
    work = f"sleep{LONGER_THAN_A_DEAD_LINK}".encode()
    replica.send(*(frames.call(each, work) for each in range(1, 1 + options.get("concurrency", 1))))
    for each in range(10, 30):
        replica.send(frames.call(each, data))
    answers = {replica.receive().id for _ in range(20 + options.get("concurrency", 1))}
    assert len(answers) == 20 + options.get("concurrency", 1)


def test_the_links_end_is_its_end(start, listener):
    replica = start(ECHO, tcp=listener, contained=True).started()
    replica.link.close()
    assert replica.status() in (-signal.SIGKILL, 128 + signal.SIGKILL)


# A network that is cut.

class Cable:
    """A network namespace, and a connection to it that can be cut."""

    def __init__(self):
        self.name = f"dcf-w{os.getpid()}"
        self.inside = ("ip", "netns", "exec", self.name)
        self.address = "10.215.0.1"

    def __enter__(self):
        os.environ["PATH"] += ":/usr/sbin:/sbin" * ("/usr/sbin" not in os.environ["PATH"].split(":"))
        if os.geteuid() != 0 or shutil.which("ip") is None:
            pytest.skip("a network that can be cut needs root and ip")
        try:
            self.ip("netns", "add", self.name)
            self.ip("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        except subprocess.CalledProcessError as error:
            self.__exit__()
            pytest.skip(f"no networks of one's own here: {error.stderr.decode().strip()}")
        self.ip("address", "add", f"{self.address}/30", "dev", self.name)
        self.ip("link", "set", self.name, "up")
        self.ip("-n", self.name, "address", "add", "10.215.0.2/30", "dev", "eth0")
        for each in ("lo", "eth0"):
            self.ip("-n", self.name, "link", "set", each, "up")
        return self

    def __exit__(self, *_):
        for words in (("link", "delete", self.name), ("netns", "delete", self.name)):
            subprocess.run(["ip", *words], capture_output=True)

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def cut(self):
        """Packets vanish from now on. The far end still has a carrier, so it gets no error."""
        self.ip("address", "flush", "dev", self.name)
        self.ip("neigh", "flush", "dev", self.name)
        self.ip("link", "set", self.name, "arp", "off")
        self.ip("link", "set", self.name, "address", "02:00:00:00:00:99")


@pytest.fixture
def cable():
    with Cable() as cable:
        yield cable


@pytest.mark.alone
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with-a-call"])
def test_a_cut_network_ends_the_watcher(start, cable, busy):
    with socket.create_server((cable.address, 0)) as listening:
        listening.settimeout(PATIENCE)
        replica = start(SLOW, tcp=listening, contained=True, inside=cable.inside).started()
        assert replica.reply(b"x") == b"x"
        if busy:
            replica.send(frames.call(2, f"sleep{FOREVER}".encode()))
            replica.out.wait_for(b"begun\n")
        cable.cut()
        began = time.monotonic()
        assert replica.process.wait(NOTICED) in (-signal.SIGKILL, 128 + signal.SIGKILL)
        assert time.monotonic() - began > 1


# In a container.

PRIVILEGES = """
import os

def Handler(req):
    status = open("/proc/self/status").read()
    return "%s %s" % (status.split("NoNewPrivs:")[1].split()[0], os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
"""


@pytest.mark.parametrize("environment, expected", [
    ({}, b"0 none"),
    ({"DCF_NO_NEW_PRIVS": "1"}, b"1 none"),
    ({"DOCKER_RESOURCE_GPU": "GPU-a,GPU-b"}, b"0 GPU-a,GPU-b"),
    ({"DOCKER_RESOURCE_GPU": "GPU-a", "CUDA_VISIBLE_DEVICES": ""}, b"0 "),
])
def test_what_a_clusters_engine_cannot_do(start, environment, expected):
    if "NoNewPrivs:\t1" in pathlib.Path("/proc/self/status").read_text() and expected.startswith(b"0"):
        pytest.skip("this process has given up its privileges already")
    assert start(PRIVILEGES, contained=True, environment=environment).started().reply(b"") == expected
