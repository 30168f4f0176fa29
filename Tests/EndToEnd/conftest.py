"""Fixtures: one gateway for all that can share one, others of their own for tests that break it."""
import collections
import concurrent.futures
import os
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support import FULL, lanes, processes  # noqa: E402
from support.docker import Docker, Unavailable  # noqa: E402
from support.gateway import BIN, Gateway  # noqa: E402
from support.held import Calls  # noqa: E402
from support.waiting import wait_until  # noqa: E402

#: pip compiles nothing of what it installs: the tests load little of it, and compiling takes more time than all else.
#: The value is a false one because pip reads it as the value of the option `compile`.
os.environ.setdefault("PIP_NO_COMPILE", "no")

#: Threads that the gRPC core and the Swift runtime start when they first need them and keep.
THREADS_KEPT = 8


def pytest_sessionstart(session):
    processes.adopt_orphans()
    missing = [n for n in ("dcf", "dcf-gateway", "dcf-watcher") if not (BIN / n).exists()]
    if missing:
        pytest.exit(f"{', '.join(missing)} not in {BIN}: build first, or set DCF_BIN", 2)


def pytest_addoption(parser):
    parser.addoption("--engine", choices=["process", "docker"], default="process",
                     help="what functions are: processes, or containers of images on an engine of the tests' own")
    parser.addoption("--lane", choices=lanes.LANES, help="only the tests of this lane: support/lanes.py")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.addinivalue_line("markers", "process: is about processes of the gateway's own machine")
    Docker.is_allowed = config.getoption("--lane") not in lanes.BUSY
    if config.getoption("--engine") == "docker":
        # What handlers write and tests read lies in a folder that the containers see too.
        config.shared = pathlib.Path(tempfile.mkdtemp(prefix="dcf-e2e-", dir="/var/tmp"))
        config.shared.chmod(0o777)
        config.option.basetemp = str(config.shared / "tests")


def pytest_unconfigure(config):
    if hasattr(config, "shared"):
        shutil.rmtree(config.shared, ignore_errors=True)


def pytest_collection_modifyitems(config, items):
    if lane := config.getoption("--lane"):
        found = lanes.assign(items, all_images=config.getoption("--engine") == "docker")
        config.hook.pytest_deselected(items=[item for item, its in zip(items, found, strict=True) if its != lane])
        items[:] = [item for item, its in zip(items, found, strict=True) if its == lane]
    if config.getoption("--engine") == "docker":
        for item in items:
            if item.get_closest_marker("process"):
                item.add_marker(pytest.mark.skip(reason="is about processes of the gateway's own machine"))
    # A fault at full length may take its time.
    for item in items if FULL else []:
        if item.get_closest_marker("fault") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(3600))
    # The first that asks for an engine makes it, and its images.
    for item in items:
        if lanes.ENGINES & set(item.fixturenames) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))


def pytest_terminal_summary(terminalreporter, config):
    if config.getoption("--lane"):
        took = collections.Counter()
        for report in sum((terminalreporter.getreports(each) for each in ("passed", "failed", "")), []):
            took[report.nodeid.partition("::")[0]] += report.duration
        terminalreporter.write_line("seconds: " + ", ".join(f"{name} {took[name]:.0f}" for name in sorted(took)))


def pytest_report_header(config):
    return f"programs: {BIN}, functions: {config.getoption('--engine')}"


@pytest.fixture(scope="session", autouse=True)
def functions_engine(request):
    """With --engine docker all gateways run their functions as images."""
    if request.config.getoption("--engine") == "docker":
        engine = request.getfixturevalue("docker")
        skipping(engine.debian)
        engine.watcher()
        Gateway.docker = engine
    yield
    Gateway.docker = None


@pytest.fixture
def tmp_path(tmp_path, request):
    """A folder that handlers can write to, also those that are nobody in a container."""
    if Gateway.docker:
        for folder in (tmp_path, *tmp_path.parents):
            if folder == request.config.shared:
                break
            folder.chmod(0o777)
    return tmp_path


@pytest.fixture(scope="session")
def scratch():
    """A short path: the gateway's socket lies below it, and a unix socket's path has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="dcf-e2e-", ignore_cleanup_errors=True) as folder:
        yield pathlib.Path(folder)


@pytest.fixture(scope="session")
def shared_gateway(scratch):
    with Gateway(scratch / "shared") as gateway:
        # What is made once and kept (pools, lazily started threads) is made before anything is counted.
        gateway.deploy("echo")
        gateway.client.invoke("echo", b"x")
        gateway.delete("echo")
        Gateway.shared = gateway
        yield gateway
        Gateway.shared = None
        gateway.stop()
        assert not gateway.text().count("Fatal error")


@pytest.fixture(scope="module")
def gateway(shared_gateway, request):
    """The shared gateway. Afterwards its children, descriptors and threads are back to where they were."""
    shared_gateway.close_client()
    before = shared_gateway.state()
    yield shared_gateway
    assert shared_gateway.process.poll() is None, f"the gateway died:\n{shared_gateway.text()[-4000:]}"
    names = shared_gateway.client.names()
    if names:
        shared_gateway.delete(*names)
    shared_gateway.deployed.clear()
    shared_gateway.close_client()

    def settled():
        after = shared_gateway.state()
        return (
            after["children"] <= before["children"]
            and after["descriptors"] <= before["descriptors"]
            and after["threads"] <= before["threads"] + THREADS_KEPT
        )

    try:
        wait_until(settled, 20, "back to where it was")
    except AssertionError:
        raise AssertionError(
            f"{request.module.__name__} left something behind: before {before}, after {shared_gateway.state()}; "
            f"children: {[processes.command(p) for p in shared_gateway.below()]}; "
            f"descriptors: {sorted(processes.descriptors(shared_gateway.pid).values())}") from None


@pytest.fixture
def own_gateway(scratch, request):
    """Makes gateways for one test alone: own_gateway("--limit", ...). They and all they started are gone afterwards."""
    made = []

    def make(*flags, start=True, **options):
        folder = scratch / f"own-{len(list(scratch.iterdir()))}-{len(made)}"
        gateway = Gateway(folder, *flags, **options)
        made.append(gateway)
        return gateway.start() if start else gateway

    before = processes.descendants(os.getpid())
    yield make
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(Gateway.end, made))
    # The shared gateway may have replaced one of its replicas meanwhile.
    shared = lambda: Gateway.shared.below() if Gateway.shared else set()  # noqa: E731
    left = lambda: processes.descendants(os.getpid()) - before - Docker.running() - shared()  # noqa: E731
    try:
        wait_until(lambda: not left(), 5, "no process left behind")
    except AssertionError:
        commands = [processes.command(p) for p in left()]
        for pid in left():
            processes.kill(pid)
        raise AssertionError(f"left behind: {commands}") from None


@pytest.fixture(scope="module")
def client(gateway):
    return gateway.client


@pytest.fixture
def calls():
    """Where the calls of functions/held arrive, for one test."""
    with Calls() as made:
        yield made


@pytest.fixture(scope="session")
def docker(request):
    """A Docker engine of the tests' own; where there can be none, the tests that want one are skipped and say why."""
    made = Docker(shared=getattr(request.config, "shared", None))
    try:
        yield skipping(made.start)
    finally:
        made.stop()


@pytest.fixture(scope="session")
def debian(docker):
    return skipping(docker.debian)


@pytest.fixture(scope="session")
def gateway_image(docker, debian):
    """Its packages come from a mirror."""
    base = "dcf-test/for-gateway"
    if docker("run", "--rm", "--network", "host", debian, "sh", "-c",
              "apt-get update -qq 2>&1 | grep -q ^[EW]:; test $? = 1", check=False).returncode != 0:
        pytest.skip("no mirror of Debian's packages can be reached from a container")
    docker("tag", debian, base)
    docker.script("images.sh", "gateway", BASE=base)
    return f"dcf/gateway:{docker.version()}"


def skipping(body, *arguments):
    """What it returns; a skip where something cannot be had on this machine."""
    try:
        return body(*arguments)
    except Unavailable as reason:
        pytest.skip(str(reason))
