"""Tests of the watcher: the tests act as its gateway, with the real launcher, real interpreters and real sockets."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from replica import WATCHER, Replica  # noqa: E402

VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")


def _newest(version):
    """The path of a Python of this version: pyenv's, else the one on PATH."""
    def number(path):
        return [int(part) for part in re.findall(r"\d+", path.parents[1].name)]

    found = sorted((pathlib.Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python{version}"), key=number)
    path = str(found[-1]) if found else shutil.which(f"python{version}")
    if path is None or subprocess.run([path, "-c", ""], capture_output=True).returncode != 0:
        return None
    return path


PYTHONS = {version: _newest(version) for version in VERSIONS}
PYTHONS["debian"] = "/usr/bin/python3" if pathlib.Path("/usr/bin/python3").exists() else None

#: Full length instead of what every change can wait for.
FULL = os.environ.get("DCF_TEST_FULL") == "1"

#: What each_python is: the oldest, the newest and Debian's own; all of them at full length.
EACH = list(PYTHONS) if FULL else [VERSIONS[0], VERSIONS[-1], "debian"]

#: The interpreter for the tests that do not depend on the version: most of them.
ONE = next((PYTHONS[v] for v in ("3.12", "3.11", "3.13", "3.10", "3.9", "debian") if PYTHONS[v]), None)


def pytest_sessionstart(session):
    if not WATCHER.exists():
        pytest.exit(f"{WATCHER} is not there: build first, or set DCF_BIN", 2)


def pytest_report_header(config):
    return [f"watcher: {WATCHER}"] + [f"python {k}: {v or 'absent'}" for k, v in PYTHONS.items()]


@pytest.fixture(params=EACH)
def each_python(request):
    path = PYTHONS[request.param]
    if path is None:
        pytest.skip(f"no Python {request.param} on this machine")
    return path


@pytest.fixture
def python():
    return ONE


@pytest.fixture
def folder():
    """A folder with a short path, because a socket is in it."""
    with tempfile.TemporaryDirectory(prefix="dcf-w-", ignore_cleanup_errors=True) as path:
        yield pathlib.Path(path)


@pytest.fixture
def start(folder, python):
    """Starts a replica with a handler's source; ends it after the test."""
    replicas = []

    def begin(handler=None, **options):
        place = options.pop("folder", folder)
        replicas.append(Replica(place, options.pop("python", python), handler, **options))
        return replicas[-1]

    yield begin
    for replica in replicas:
        replica.__exit__()
