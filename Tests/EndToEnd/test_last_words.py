"""What a process said before it died: told to who deploys, and kept in the log."""
import subprocess
import time

import grpc
import pytest

from support.bundles import bundle
from support.client import Refused, pb, refused
from support.gateway import BIN
from support.waiting import wait_until

CONSTRUCTOR = ("import ctypes, os, signal, subprocess, sys, time\nclass Handler:\n    def __init__(self):\n%s\n"
               "    def __call__(self, req): return 'x'\n")


def constructor(*lines):
    return CONSTRUCTOR % "\n".join("        " + line for line in lines)


#: How a first deploy may fail, with a word that was said last, and options of its config.
ENDS = {
    "aborts": (constructor("os.write(2, b'model.bin is truncated\\n')", "os.abort()"), "model.bin is truncated", {}),
    "exits": (constructor("print('the licence has expired', flush=True)", "os._exit(3)"), "the licence has expired",
              {}),
    "no-line-end": (constructor("os.write(1, b'cut off here')", "os._exit(3)"), "cut off here", {}),
    "crashes": (constructor("os.write(2, b'about to touch address 0\\n')", "ctypes.string_at(0)"),
                "about to touch address 0", {}),
    "raises": (constructor("print('loading the model from /models')", "raise OSError('not there')"),
               "loading the model from /models", {}),
    "import": ("print('importing everything')\nimport no_such_module\n", "importing everything", {}),
    "killed": (constructor("print('the helper kills us', flush=True)", "os.kill(os.getpid(), signal.SIGKILL)"),
               "the helper kills us", {}),
    "too-slow": (constructor("print('waiting for the database', flush=True)", "time.sleep(60)"),
                 "waiting for the database", {"timeout": {"start": "4s"}}),
    "too-large": (
        constructor("print('taking much memory', flush=True)", "self.a = b'x' * (400 << 20)", "time.sleep(60)"),
        "taking much memory", {"limits": {"memory": "200M"}}),
    "child": (constructor("subprocess.run(['sh', '-c', 'echo the child says no >&2'])", "os._exit(1)"),
              "the child says no", {}),
}


@pytest.mark.process
@pytest.mark.parametrize("name", ENDS)
def test_a_first_deploy_that_fails_shows_what_was_said_last(gateway, name):
    handler, words, config = ENDS[name]
    done = gateway.deploy(name, check=False, files={"handler.py": handler}, config=config)
    assert done.returncode == 1 and words in done.error, done.error
    assert done.error.count("Traceback") <= 1, f"the traceback is there twice:\n{done.error}"
    log = gateway.client.log(name)
    assert words in log and "not deployed" in log
    assert name not in gateway.client.names() and refused(gateway.client.invoke, name).name == "NOT_FOUND"
    said = gateway.dcf("function", "log", name).text
    assert words in said
    # In the order in which it happened.
    assert said.index(words) < said.index("not started") < said.index("not deployed"), said


def test_an_update_that_fails_shows_it_too(gateway):
    gateway.deploy("sturdy", files={"handler.py": "def Handler(req):\n    return 'old'\n"})
    done = gateway.deploy("sturdy", None, "--update", check=False, files={"handler.py": ENDS["aborts"][0]})
    assert done.returncode == 1 and "model.bin is truncated" in done.error
    log = gateway.client.log("sturdy")
    assert "model.bin is truncated" in log and "version 2 is not deployed" in log
    assert gateway.client.invoke("sturdy") == "old"


def test_many_lines_are_bounded_and_the_last_are_shown(gateway):
    handler = constructor("for n in range(10000): print('line', n, 'x' * 500)", "sys.stdout.flush()", "os._exit(1)")
    error = refused(gateway.client.deploy_watch, "chatty", bundle({"handler.py": handler}))
    assert "line 9999" in error.message and "line 9000" not in error.message and len(error.message) < 4_000


def test_pips_last_words_are_in_the_log(gateway):
    files = {"handler.py": "def Handler(req): pass\n",
             "requirements.txt": "--no-index\nno-such-package-of-ours==4711\n"}
    done = gateway.deploy("pipless", check=False, files=files)
    assert done.returncode == 1 and "no-such-package-of-ours==4711" in done.error
    log = gateway.client.log("pipless")
    assert "no-such-package-of-ours==4711" in log and "not deployed" in log


@pytest.mark.process
def test_the_last_lines_of_a_replica_come_before_its_death(gateway):
    handler = ("import os\ndef Handler(req):\n    for n in range(2000): os.write(1, b'line %d\\n' % n)\n"
               "    os.write(2, b'and this at the very end')\n    os._exit(9)\n")
    gateway.deploy("mortal", files={"handler.py": handler})
    error = refused(gateway.client.invoke, "mortal")
    assert (error.name, error.executed) == ("UNAVAILABLE", "maybe")
    log = wait_until(lambda: "died" in (text := gateway.client.log("mortal")) and text)
    assert (log.index("line 1999") < log.index("replica 1 died")
            and log.index("at the very end") < log.index("replica 1 died"))


def test_the_log_of_what_is_not_deployed_is_kept_for_a_while(own_gateway):
    gateway = own_gateway("--limit", "log-kept=8s")
    refused(gateway.client.deploy_watch, "failed", bundle({"handler.py": "print('last words')\nraise ValueError(1)\n"}))
    gateway.client.deploy_watch("deleted", bundle({"handler.py": "print('hello')\ndef Handler(req): pass\n"}))
    gateway.client.call("Delete", pb.DeleteFunctionRequest(FunctionName="deleted"))
    gateway.client.deploy_watch("stays", bundle({"handler.py": "print('still here')\ndef Handler(req): pass\n"}))
    assert "last words" in gateway.client.log("failed")
    log = gateway.client.log("deleted")
    assert "hello" in log and "was deleted at" in log
    # Whoever follows it sees it to its end.
    followed = gateway.dcf("function", "log", "failed", "--follow", "--tail", "100", timeout=30)
    assert "last words" in followed.text and "not deployed" in followed.text
    gateway.stop()
    gateway.start()
    assert "last words" in gateway.client.log("failed") and "hello" in gateway.client.log("deleted")
    wait_until(lambda: not (gateway.data / "logs/failed").exists() and not (gateway.data / "logs/deleted").exists(), 30)
    assert refused(gateway.client.log, "failed").name == "NOT_FOUND"
    assert "still here" in gateway.client.log("stays")
    gateway.stop()


def test_a_new_deploy_begins_a_new_log(gateway):
    refused(gateway.client.deploy_watch, "again",
            bundle({"handler.py": "print('the first try')\nraise ValueError(1)\n"}))
    gateway.client.deploy_watch("again", bundle({"handler.py": "print('the second try')\ndef Handler(req): pass\n"}))
    log = wait_until(lambda: "the second try" in (text := gateway.client.log("again")) and text, 5)
    assert "the first try" not in log
    gateway.client.call("Delete", pb.DeleteFunctionRequest(FunctionName="again"))


def test_the_log_can_be_read_while_the_first_deploy_goes_on(gateway, tmp_path):
    go = tmp_path / "go"
    handler = constructor("import pathlib", "print('under way', flush=True)",
                          f"while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)")
    path = gateway.write("slowly", files={"handler.py": handler})
    deploying = subprocess.Popen([str(BIN / "dcf"), "function", "create", "-f", str(path), "-g", gateway.address],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    gateway.deployed.add("slowly")

    def log():
        try:
            return gateway.client.log("slowly")
        except Refused:
            return ""

    wait_until(lambda: "under way" in log(), 30, "its log")
    go.touch()
    assert deploying.wait(60) == 0


@pytest.mark.parametrize("method", ["DeployWatch", "Deploy", "Update", "Upload", "FollowLog", "Restart"])
def test_sigterm_cuts_off_what_takes_long_and_says_so(own_gateway, tmp_path, method):
    gateway = own_gateway()
    begun = tmp_path / "begun"
    slow = (f"import pathlib, time\nif pathlib.Path({str(tmp_path / 'slow')!r}).exists():\n"
            f"    pathlib.Path({str(begun)!r}).touch()\n    time.sleep(60)\ndef Handler(req): return 'x'\n")
    gateway.client.deploy_watch("there", bundle({"handler.py": slow}))
    (tmp_path / "slow").touch()
    digest, _ = gateway.client.upload(bundle({"handler.py": slow + "# new\n"}))
    stub = gateway.client.stub
    request = pb.CreateFunctionRequest(
        Service="there" if method == "Update" else "new", Bundle=digest, Config="runtime: python3\n")

    def pieces():
        yield pb.UploadPiece(Sha256="0" * 64, Size=1000, Data=b"x")
        begun.touch()
        stopped.wait(30)

    import threading
    stopped = threading.Event()
    if method == "Upload":
        call = stub.Upload.future(pieces(), timeout=60)
    elif method == "DeployWatch":
        call = stub.DeployWatch(request, timeout=60)
    elif method == "FollowLog":
        call = stub.FollowLog(pb.LogRequest(FunctionName="there", Follow=True), timeout=60)
        assert refused(gateway.client.invoke, "no-such-function").name == "NOT_FOUND"
        begun.touch()
    elif method == "Restart":
        call = stub.Restart.future(pb.FunctionRequest(FunctionName="there"), timeout=60)
    else:
        call = getattr(stub, method).future(request, timeout=60)
    wait_until(begun.exists, 30, f"{method} is under way")
    began = time.monotonic()
    gateway.process.terminate()
    with pytest.raises(grpc.RpcError):
        for _ in call if method in ("DeployWatch", "FollowLog") else [call.result(40)]:
            pass
    error = Refused(call)
    stopped.set()
    assert (error.name, error.executed) == ("UNAVAILABLE", "no"), error
    assert gateway.process.wait(40) == 0 and time.monotonic() - began < 30
    (tmp_path / "slow").unlink()
    gateway.close_client()
    gateway.start()
    assert gateway.client.names() == ["there"]
    gateway.stop()
