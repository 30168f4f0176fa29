"""Programs with a preloaded library that moves their environment, as an agent of a monitoring service may do."""
import os
import shutil
import subprocess

import pytest

from support.gateway import BIN, dcf, write_function

SOURCE = ("#include <stdlib.h>\n"
          "__attribute__((constructor)) static void f(void) { setenv(\"AGENT_LOADED\", \"1\", 1); }\n")

pytestmark = pytest.mark.process


@pytest.fixture
def agent(tmp_path):
    compiler = shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    source = tmp_path / "agent.c"
    source.write_text(SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "agent.so", source], check=True)
    return {"LD_PRELOAD": str(tmp_path / "agent.so")}


def test_the_command_line_keeps_its_arguments(agent, tmp_path):
    assert "python3" in dcf("runtime", "list", environment=agent).text
    done = dcf("function", "run", "echo", "-f", str(write_function(tmp_path / "work", "echo")), input=b"hi",
               environment={**agent, "XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert done.stdout == b"hi"
    assert dcf("function", "lst", environment=agent, check=False).error.count("list")


def test_the_gateway_keeps_its_arguments(agent):
    done = subprocess.run([BIN / "dcf-gateway", "--limit", "queue=4711", "--limits"], capture_output=True, text=True,
                          env={**os.environ, **agent})
    assert "queue=4711" in done.stdout, done.stdout + done.stderr


def test_the_watcher_keeps_its_arguments(agent):
    done = subprocess.run([BIN / "dcf-watcher", "--child", "--", "echo", "a b", ""], capture_output=True, text=True,
                          env={**os.environ, **agent})
    assert (done.returncode, done.stdout) == (0, "a b \n")
