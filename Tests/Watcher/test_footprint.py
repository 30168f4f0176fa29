"""What a watcher costs: its memory, and the libraries that it links."""
import pathlib
import re
import subprocess

import pytest

from replica import BIN
from test_calls import ECHO

#: KiB of resident memory that a watcher may have beyond its bare interpreter, debug builds included.
MEMORY_MAX = 12 << 10


def resident(pid):
    """The resident memory of a process in KiB."""
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


@pytest.mark.alone
def test_memory_above_the_bare_interpreter(start, each_python):
    replica = start(ECHO, python=each_python).started()
    mine = resident(replica.process.pid)
    command = [each_python, "-c", "print(flush=True); input()"]
    bare = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    bare.stdout.readline()
    theirs = resident(bare.pid)
    bare.communicate(b"\n")
    assert mine - theirs < MEMORY_MAX


def test_what_it_links():
    """The launcher links nothing. The library links only what every image with glibc 2.34 has."""
    def needed(name):
        out = subprocess.run(["readelf", "-dV", BIN / name], capture_output=True, text=True, check=True).stdout
        return set(re.findall(r"NEEDED.*\[(.*)\]", out)), re.findall(r"Name: GLIBC_2\.(\d+)", out)

    assert needed("dcf-watcher") == (set(), [])
    libraries, versions = needed("libPythonWatcher.so")
    assert libraries <= {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"}
    assert max(map(int, versions)) <= 34


def test_what_an_interpreter_sees_of_the_library():
    out = subprocess.run(["nm", "-D", "--defined-only", BIN / "libPythonWatcher.so"], capture_output=True, text=True,
                         check=True).stdout
    assert [line.split()[-1] for line in out.splitlines()] == ["PyInit__dcf_watcher"]
