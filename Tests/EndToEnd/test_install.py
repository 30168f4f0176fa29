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


def dependencies(tmp_path, *uses, **programs):
    """scripts/install-dependencies.sh with programs of ours in place of the machine's: a name and its shell text."""
    for name, text in {"sudo": '"$@"', **programs}.items():
        program = tmp_path / name.replace("_", "-")
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    return subprocess.run([ROOT / "scripts/install-dependencies.sh", *uses], capture_output=True, text=True,
                          env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})


def test_a_package_that_is_found_early_in_a_long_list_is_present(tmp_path):
    lists = "echo ' libGL.so.1 (libc6)'; echo ' libgthread-2.0.so.0 (libc6)'; seq 100000"
    done = dependencies(tmp_path, "demo", ldconfig=lists, apt_get="exit 1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_apt_says_is_not_on_stdout(tmp_path):
    """The demo's stdout is the model's answer."""
    done = dependencies(tmp_path, "demo", ldconfig="echo none", apt_get='echo "apt-get $1"')
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr == "installing libgl1 libglib2.0-0\napt-get update\napt-get install\n"


def test_an_apt_that_fails_is_said_with_the_packages(tmp_path):
    done = dependencies(tmp_path, "demo", ldconfig="echo none", apt_get="exit 100")
    assert (done.returncode, done.stdout) == (69, "")
    assert "apt-get failed; these packages are needed: libgl1 libglib2.0-0" in done.stderr
