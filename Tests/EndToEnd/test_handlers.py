"""What a function author may write, on every Python that the watcher serves."""
import functools
import glob
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from support.client import refused
from support.processes import real
from support.waiting import wait_until

VERSIONS = ["3.9", "3.10", "3.11", "3.12", "3.13"]


@functools.cache
def interpreter(version):
    """An interpreter of that version: a file, never a shim."""
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    candidates = sorted(glob.glob(f"{root}/versions/{version}.*/bin/python{version}")) + [
        f"/usr/bin/python{version}", f"/usr/local/bin/python{version}", shutil.which(f"python{version}") or ""]
    for path in candidates:
        if path and os.path.exists(path) and "/shims/" not in path:
            return path
    return None


def need(version):
    return interpreter(version) or pytest.skip(f"no CPython {version} on this machine")


@pytest.mark.process
@pytest.mark.parametrize("version", VERSIONS)
def test_every_python(gateway, client, version):
    name = "py" + version.replace(".", "")
    gateway.deploy(name, "info", config={"python": need(version), "parameters": {"a": 1}})
    seen = json.loads(client.invoke(name))
    assert seen["python"] == version and seen["parameters"] == {"a": 1}
    assert client.meta(name).Python.find(version) >= 0
    gateway.deploy(name, "kinds", "--update", config={"python": need(version)})
    assert client.invoke(name, b"text word") == "word"
    assert client.invoke_bytes(name, b"binary") == b"\xff\xfe\x00\x80"
    error = refused(client.invoke, name, b"error oh")
    assert (error.name, error.executed) == ("UNKNOWN", "yes") and "ValueError: oh" in error.message
    assert refused(client.invoke, name, b"exit").name == "UNKNOWN"
    gateway.delete(name)


@pytest.mark.process
def test_a_python_without_a_shared_library(gateway, client):
    for path in ["/usr/bin/python3", *glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python3"))]:
        if not os.path.exists(path):
            continue
        code = "import sys, sysconfig; print(sysconfig.get_config_var('Py_ENABLE_SHARED'), sys.version_info >= (3, 9))"
        said = subprocess.run([path, "-c", code], capture_output=True, text=True).stdout.split()
        needed = subprocess.run(["ldd", os.path.realpath(path)], capture_output=True, text=True).stdout
        if said[1:] == ["True"] and "libpython" not in needed:
            gateway.deploy("static", "echo", config={"python": path})
            assert client.invoke("static", b"x") == "x"
            return
    pytest.skip("every Python here is linked against a shared libpython")


@pytest.mark.process
def test_a_version_by_name(gateway, client):
    for version in VERSIONS:
        found = shutil.which(f"python{version}")
        # A pyenv shim answers only for the versions that are switched on.
        if found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
            gateway.deploy("versioned", "info", config={"python": version})
            assert json.loads(client.invoke("versioned"))["python"] == version
            return
    pytest.skip("no python3.N on the PATH")


@pytest.mark.process
def test_a_python_that_is_not_there(gateway, client):
    done = gateway.deploy("nopython", "echo", config={"python": "/nowhere/python3"}, check=False)
    assert done.returncode == 1 and "/nowhere/python3" in done.error
    done = gateway.deploy("nopython", "echo", config={"python": "3.99"}, check=False)
    assert done.returncode == 1 and "3.99" in done.error
    assert "nopython" not in client.names()


@pytest.mark.process
def test_a_venv_is_used_and_never_written_to(gateway, client, tmp_path):
    venv = tmp_path / "venv"
    subprocess.run([need("3.11"), "-m", "venv", "--without-pip", str(venv)], check=True)
    site = next(venv.glob("lib/python3*/site-packages"))
    (site / "only_here.py").write_text("VALUE = 'from the venv'\n")

    def listing():
        return sorted(str(p) for p in venv.rglob("*") if "__pycache__" not in p.parts)

    before = listing()
    gateway.deploy("venvs", files={
        "handler.py": "import only_here, sys\ndef Handler(req):\n    return only_here.VALUE + sys.prefix\n",
    }, config={"python": str(venv)})
    assert client.invoke("venvs") == "from the venv" + str(venv)
    # Requirements are only checked against it.
    done = gateway.deploy("venvs2", "echo", files={"requirements.txt": "six\n"}, config={"python": str(venv)},
                          check=False)
    assert done.returncode == 1 and "six" in done.error
    assert listing() == before and "venvs2" not in client.names()


def test_constructed_once_however_many_calls(gateway, client, tmp_path):
    gateway.deploy("counted", config={"parameters": {"file": str(tmp_path / "lines")}})
    assert [client.invoke("counted") for _ in range(50)] == [str(n + 1) for n in range(50)]
    assert len((tmp_path / "lines").read_text().splitlines()) == 1


def test_plain_functions_helpers_and_data_files(gateway, client):
    gateway.deploy("plain")
    assert client.invoke("plain", b"x") == "plain:x"
    gateway.deploy("helpers")
    assert client.invoke("helpers", b"Kim") == "Hello, Kim!"


@pytest.mark.parametrize(
    "init, reply",
    [
        ("def __init__(self): self.p = 'none'", "none"),
        ("def __init__(self, parameters): self.p = parameters", "{'a': 1}"),
        ("def __init__(self, anything): self.p = anything", "{'a': 1}"),
        ("def __init__(self, parameters=None): self.p = parameters", "{'a': 1}"),
        ("def __init__(self, *, parameters): self.p = parameters", "{'a': 1}"),
        ("def __init__(self, other=5): self.p = other", "5"),
        ("def __init__(self, *args, **more): self.p = (args, more)", "((), {})"),
        ("p = 'no init'", "no init"),
    ])
def test_constructors(gateway, client, init, reply):
    code = f"class Handler:\n    {init}\n    def __call__(self, req):\n        return str(self.p)\n"
    gateway.deploy("inits", None, "--replace", files={"handler.py": code}, config={"parameters": {"a": 1}})
    assert client.invoke("inits") == reply


def test_parameters_are_empty_when_the_config_has_none(gateway, client):
    code = "class Handler:\n    def __init__(self, parameters):\n        self.p = parameters\n    " \
           "def __call__(self, req):\n        return repr(self.p)\n"
    gateway.deploy("inits", None, "--replace", files={"handler.py": code})
    assert client.invoke("inits") == "{}"


def test_another_file_and_another_name(gateway, client):
    gateway.deploy("named",
                   files={"model.py": "class Predictor:\n    def __call__(self, req):\n        return 'predicted'\n"},
                   config={"handler": {"file": "model.py", "name": "Predictor"}})
    assert client.invoke("named") == "predicted"


@pytest.mark.process
def test_requirements_are_installed_for_this_function_alone_and_shared_by_content(gateway, client):
    files = {"handler.py": "import toml\ndef Handler(req):\n    return toml.__version__\n",
             "requirements.txt": "toml==0.10.1\n"}
    gateway.deploy("needs", files=files)
    assert client.invoke("needs") == "0.10.1"
    folders = len(list((gateway.data / "environments").iterdir()))
    gateway.deploy("needs-too", files={**files, "other.txt": "differs"})
    assert client.invoke("needs-too") == "0.10.1"
    assert len(list((gateway.data / "environments").iterdir())) == folders
    code = ("def Handler(req):\n    try:\n        import toml\n    except ImportError:\n        return 'none'\n"
            "    return toml.__version__\n")
    gateway.deploy("needs-not", files={"handler.py": code})
    assert client.invoke("needs-not") != "0.10.1"


@pytest.mark.process
def test_a_handler_may_import_grpc(gateway, client):
    # grpcio as the tests' own venv has it; the watcher must not have a gRPC of its own in the process.
    site = next(p for p in sys.path if p.endswith("site-packages"))
    gateway.deploy("grpcs", files={"handler.py": f"""
import sys
sys.path.insert(0, {site!r})
import grpc
from concurrent import futures

class Handler:
    def __call__(self, req):
        server = grpc.server(futures.ThreadPoolExecutor(2))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{{port}}") as channel:
            grpc.channel_ready_future(channel).result(10)
        server.stop(0)
        return grpc.__version__
"""}, config={"python": sys.executable})
    import grpc

    assert client.invoke("grpcs", timeout=30) == grpc.__version__
    maps = pathlib.Path(f"/proc/{gateway.replicas('grpcs')[0]}/maps").read_text()
    assert "libgrpc.so" not in maps and "libprotobuf.so" not in maps and "libFoundation" not in maps


def test_threads_forks_and_subprocesses(gateway, client):
    gateway.deploy("faults")
    assert client.invoke("faults", b"thread") == "8"
    assert client.invoke("faults", b"fork_exit") == "forked"
    assert client.invoke("faults", b"subprocess hello") == "hello\n"
    assert client.invoke("faults", b"stdin") == "''"
    assert client.invoke("faults", b"thread_forever") == "started"
    pid = client.invoke("faults", b"pid")
    assert real(pid) == gateway.replicas("faults")[0]


def test_stray_prints_do_no_harm(gateway, client):
    gateway.deploy("faults", None, "--replace")
    for word in (b"write_one", b"garbage_one"):
        assert client.invoke("faults", word) == "written"
    words = ("printed words", "words on stderr", "raw words on descriptor one")
    wait_until(lambda: all(each in client.log("faults") for each in words), 5, "the log")


def test_a_constructor_that_prints_starts_threads_and_takes_its_time(gateway, client):
    gateway.deploy("starting", files={"handler.py": """
import threading, time
class Handler:
    def __init__(self):
        print("loading")
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        time.sleep(0.5)
    def __call__(self, req):
        return "ready"
"""})
    assert client.invoke("starting") == "ready"
    wait_until(lambda: "loading" in client.log("starting"), 5)
    assert client.meta("starting").Instances[0].ConstructorMicros >= 500_000
