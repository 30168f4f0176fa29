"""`make install` and `make uninstall`, into a scratch folder."""
import os
import pathlib
import re
import subprocess

import pytest

from support.gateway import BIN, FUNCTIONS, write_function

ROOT = pathlib.Path(__file__).parents[2]


def make(goal, destination):
    return subprocess.run(
        ["make", "--no-print-directory", "-C", str(ROOT), goal, f"DESTDIR={destination}", "PREFIX=/usr"],
        capture_output=True, text=True, env={**os.environ, "DCF_BIN": str(BIN)})


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    destination = tmp_path_factory.mktemp("installed")
    done = make("install", destination)
    assert done.returncode == 0, done.stderr
    return destination / "usr"


def test_the_programs_run_from_there(installed, tmp_path):
    for program in ("dcf", "dcf-gateway", "dcf-watcher"):
        assert os.access(installed / "bin" / program, os.X_OK)
    assert "python3" in subprocess.run([installed / "bin/dcf", "runtime", "list"], capture_output=True,
                                       text=True).stdout
    # The watcher finds its library in ../lib/dcf.
    config = write_function(tmp_path, "echo")
    done = subprocess.run(
        [installed / "bin/dcf", "function", "run", "echo", "-f", config], input=b"hi", capture_output=True,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert done.stdout == b"hi", done.stderr
    assert FUNCTIONS.exists()


def test_every_library_of_the_swift_runtime_is_beside_them(installed):
    libraries = {p.name for p in (installed / "lib/dcf").iterdir()}
    assert "libPythonWatcher.so" in libraries
    for file in [*(installed / "bin").iterdir(), installed / "lib/dcf/libPythonWatcher.so"]:
        needed = subprocess.run(["readelf", "-d", file], capture_output=True, text=True).stdout
        swift = [n for n in re.findall(r"NEEDED.*\[(lib(?:swift|_?Foundation|dispatch|Blocks)[^]]*)\]", needed)]
        assert set(swift) <= libraries, file


def test_the_unit_and_the_completions(installed):
    unit = (installed / "lib/systemd/system/dcf-gateway.service").read_text()
    assert "ExecStart=/usr/bin/dcf-gateway" in unit and "@" not in unit
    for path in ("bash-completion/completions/dcf", "zsh/site-functions/_dcf", "fish/vendor_completions.d/dcf.fish"):
        assert "function" in (installed / "share" / path).read_text()


def test_uninstall_leaves_nothing(tmp_path):
    assert make("install", tmp_path).returncode == 0
    assert make("uninstall", tmp_path).returncode == 0
    assert [p for p in tmp_path.rglob("*") if not p.is_dir()] == []
