"""What a watcher costs. Times and sizes are printed, for the bench to judge; what it links is asserted."""
import pathlib
import re
import statistics
import subprocess
import time

from replica import BIN
from test_calls import ECHO


def resident(pid):
    """KiB."""
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def test_start_and_memory(start, each_python, capsys, folder):
    times = []
    for i in range(3):
        began = time.monotonic()
        replica = start(ECHO, python=each_python, folder=folder / str(i)).started()
        times.append(time.monotonic() - began)
    mine = resident(replica.process.pid)
    bare = subprocess.Popen([each_python, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    bare.stdout.readline()
    theirs = resident(bare.pid)
    bare.communicate()
    with capsys.disabled():
        print(f"\n  {each_python}: exec to Ready {statistics.median(times) * 1000:.0f} ms, "
              f"{(mine - theirs) / 1024:.1f} MiB above the bare interpreter")


def test_what_it_links():
    """The launcher is one file that starts anywhere; the library needs what every image with glibc 2.34 has."""
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
