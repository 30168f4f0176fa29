"""A registry that is lost, damaged or not readable costs nothing that lies beside it. One bad row costs one
function."""
import os
import shutil
import sqlite3
import subprocess

import pytest

from support.bundles import bundle
from support.client import pb, refused
from support.gateway import BIN
from support.waiting import wait_until

SAYS = "def Handler(req):\n    return %r\n"
IDLE = "runtime: python3\nreplicas: {min: 0, max: 1}\n"


def database(gateway, *statements):
    """Changes the registry of a gateway that does not run."""
    connection = sqlite3.connect(gateway.data / "registry.sqlite", isolation_level=None)
    found = [connection.execute(statement).fetchall() for statement in statements]
    connection.close()
    return found[-1] if found else None


def rebuild(gateway, check=True):
    done = subprocess.run(
        [str(BIN / "dcf-gateway"), "--rebuild", "--data-dir", str(gateway.data)], capture_output=True, text=True,
        timeout=60)
    assert not check or done.returncode == 0, done.stderr + done.stdout
    return done


def held(gateway):
    """All that must never be lost."""
    return sorted(
        str(p.relative_to(gateway.data)) for folder in ("bundles", "functions", "logs")
        for p in (gateway.data / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def deploy(gateway, name, text, **options):
    gateway.client.deploy_watch(name, bundle({"handler.py": SAYS % text}), **options)


#: What is wrong with a version's row, and a word of the reason that is shown.
ROWS = {
    "environment": ("environment = 'x{'", "environment"), "labels": ("labels = '[1]'", "labels"),
    "annotations": ("annotations = ''", "annotations"), "secrets": ("secrets = '{}'", "secrets"),
    "constraints": ("constraints = 'null'", "constraints"), "variables": ("imageVariables = '[1]'", "imageVariables"),
    "config": ("config = ': : ['", "config"), "config-key": ("config = 'runtme: python3'", "config"),
    "bundle": ("bundle = 'zz'", "bundle"), "kind": ("deploy = 'balloon'", "deploy"),
    "least": ("replicasMin = -1", "replicasMin"), "most": ("replicasMax = 1000000", "replicasMax"),
    "traffic": ("traffic = 1000", "traffic"), "nobody": ("traffic = 0", "no version"),
    "number": ("version = -7", "version"), "zero": ("version = 0", "version"),
    "big": ("version = 9223372036854775807", "version"),
}
#: The same where the table lets in what no release writes.
LAX = {
    "null": ("config = NULL", "config"), "null-number": ("replicasMax = NULL", "replicasMax"),
    "blob": ("environment = x'00ff'", "environment"),
    "text-for-number": ("traffic = 'all'", "traffic"), "number-for-text": ("labels = 7", "labels"),
    "fraction": ("replicasMin = 0.5", "replicasMin"),
}


def test_one_bad_row_is_one_bad_function(own_gateway):
    gateway = own_gateway()
    bad = {f"bad-{name}": change for name, change in {**ROWS, **LAX}.items()}
    deploy(gateway, "good", "good")
    for name in [*bad, "bad-count", "bad-rowless", "bad-files", "orphan"]:
        # One bundle for all; "bad-files" has its own.
        deploy(gateway, name, "own" if name == "bad-files" else "was fine", config=IDLE)
    deploy(gateway, "twice", "one")
    deploy(gateway, "twice", "two", if_exists=pb.UPDATE)
    gateway.stop()
    before = held(gateway)
    [[own]] = database(gateway, "SELECT bundle FROM version WHERE name = 'bad-files'")
    (gateway.data / f"bundles/{own}.tar").unlink()
    shutil.rmtree(gateway.data / "functions/bad-files")
    database(
        gateway, *[f"UPDATE version SET {change} WHERE name = 'bad-{name}'" for name, (change, _) in ROWS.items()],
        "UPDATE version SET environment = 'x{' WHERE name = 'twice' AND version = 2",
        "UPDATE function SET invocations = -1 WHERE name = 'bad-count'",
        "DELETE FROM version WHERE name = 'bad-rowless'", "DELETE FROM function WHERE name = 'orphan'",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(replace(sql, ' NOT NULL', ''), ' STRICT', '') WHERE name = 'version'")
    database(gateway, *[f"UPDATE version SET {change} WHERE name = 'bad-{name}'" for name, (change, _) in LAX.items()])
    gateway.start()
    client = gateway.client

    shown = {f.Name: f for f in client.call("List", pb.Empty()).Functions}
    reasons = {**{n: word for n, (_, word) in bad.items()}, "bad-count": "invocations", "bad-rowless": "no version",
               "bad-files": "gone", "twice": "environment"}
    assert set(shown) == {*reasons, "good", "orphan"}
    for name, word in reasons.items():
        assert shown[name].Status == "Failed", f"{name}: {shown[name].Status} {shown[name].Reason}"
        assert word in shown[name].Reason and "--update" in shown[name].Reason, f"{name}: {shown[name].Reason}"
        error = refused(client.invoke, name)
        assert (error.name, error.executed) == ("FAILED_PRECONDITION", "no"), name
        assert client.meta(name).Reason == shown[name].Reason
    assert client.invoke("good") == "good" and client.invoke("orphan") == "was fine"

    # Each way out of it.
    assert client.invoke("twice@1") == "one"
    assert refused(client.call, "Restart", pb.FunctionRequest(FunctionName="twice")).executed == "no"
    client.call("Rollback", pb.RollbackRequest(FunctionName="twice"))
    assert client.invoke("twice") == "one"
    for name in ("bad-environment", "bad-null", "bad-number", "bad-rowless", "bad-count"):
        deploy(gateway, name, f"{name} is mended", if_exists=pb.UPDATE)
    for name in ("bad-labels", "bad-bundle", "bad-text-for-number", "bad-zero"):
        client.call("Delete", pb.DeleteFunctionRequest(FunctionName=name))
    deploy(gateway, "new", "new")
    client.call("SetTraffic",
                pb.TrafficRequest(FunctionName="bad-nobody", Traffic=[pb.TrafficShare(Version=1, Weight=100)]))

    # And all of it is there after the next start.
    gateway.kill()
    gateway.start()
    client = gateway.client
    names = set(client.names())
    assert "new" in names and not names & {"bad-labels", "bad-bundle", "bad-text-for-number", "bad-zero"}
    for name in ("bad-environment", "bad-null", "bad-number", "bad-rowless", "bad-count"):
        assert client.invoke(name) == f"{name} is mended"
    assert (client.invoke("new") == "new" and client.invoke("twice") == "one"
            and client.invoke("bad-nobody") == "was fine")
    assert client.meta("bad-config").Status == "Failed"
    assert f"bundles/{own}.tar" in before
    gateway.stop()

    # Whoever knows better has the rest back.
    done = rebuild(gateway)
    assert "bad-files" in done.stdout and own in done.stdout
    gateway.start()
    assert gateway.client.meta("bad-config").Status == "Idle" and gateway.client.invoke("bad-config") == "was fine"
    assert gateway.client.invoke("twice@2") == "two"
    gateway.stop()


@pytest.mark.parametrize("loss", ["empty", "missing", "garbage", "page"])
def test_a_registry_that_is_lost_takes_nothing_with_it(own_gateway, loss):
    gateway = own_gateway()
    gateway.deploy("echo", config={"replicas": {"min": 2, "max": 3}, "desc": "kept", "environment": ["A=b"]})
    gateway.deploy("twice", files={"handler.py": SAYS % "one"})
    gateway.deploy("twice", None, "--update", files={"handler.py": SAYS % "two"})
    gateway.client.call("SetTraffic", pb.TrafficRequest(
        FunctionName="twice", Traffic=[pb.TrafficShare(Version=1, Weight=100)]))
    gateway.deploy("gone", files={"handler.py": SAYS % "gone"})
    gateway.delete("gone")
    gateway.client.invoke("echo", b"x")
    gateway.stop()
    before = held(gateway)
    path = gateway.data / "registry.sqlite"
    if loss == "missing":
        path.unlink()
    elif loss == "empty":
        path.write_bytes(b"")
    else:
        content = bytearray(path.read_bytes())
        start, end = (0, len(content)) if loss == "garbage" else (4096, 3 * 4096)
        content[start:end] = b"\xa5" * (end - start)
        path.write_bytes(content)
    if loss in ("empty", "missing"):
        gateway.start()
        assert gateway.client.names() == []
        assert "echo" in gateway.text() and "--rebuild" in gateway.text()
        gateway.deploy("since", files={"handler.py": SAYS % "since"})
        gateway.stop()
    else:
        with pytest.raises(AssertionError):
            gateway.start()
        assert "damaged" in gateway.text() and "--rebuild" in gateway.text()
    assert set(before) <= set(held(gateway)), set(before) - set(held(gateway))

    said = rebuild(gateway).stdout
    assert "echo: version 1" in said and "twice: versions 1 (100 %), 2" in said and "gone:" not in said
    assert not list(gateway.data.glob("registry.sqlite.new*"))
    assert loss == "missing" or list(gateway.data.glob("registry.sqlite.before-*"))
    gateway.start()
    client = gateway.client
    assert client.names() == ["echo", *(["since"] if loss in ("empty", "missing") else []), "twice"]
    assert client.invoke("twice") == "one" and client.invoke("twice@2") == "two" and client.invoke("echo", b"x") == "x"
    meta = client.meta("echo")
    assert (meta.Description, meta.MinReplicas, meta.MaxReplicas) == ("kept", 2, 3)
    assert "--rebuild" not in gateway.text()
    assert wait_until(lambda: client.meta("echo").AvailableReplicas == 2)
    gateway.stop()
    # Once is enough.
    again = rebuild(gateway, check=False)
    assert again.returncode == 1 and "sound" in again.stderr
    gateway.start()
    assert gateway.client.invoke("twice") == "one"
    gateway.stop()


def test_rebuild_leaves_a_running_gateway_alone(own_gateway):
    gateway = own_gateway()
    done = rebuild(gateway, check=False)
    assert done.returncode == 1 and f"process {gateway.pid}" in done.stderr


@pytest.mark.parametrize("harm", ["garbage", "cut", "missing"])
def test_a_write_ahead_log_that_is_damaged_after_kill_9(own_gateway, harm):
    gateway = own_gateway()
    deploy(gateway, "a", "one")
    deploy(gateway, "a", "two", if_exists=pb.UPDATE)
    deploy(gateway, "b", "b")
    gateway.client.call("Delete", pb.DeleteFunctionRequest(FunctionName="b"))
    gateway.kill()
    log = gateway.data / "registry.sqlite-wal"
    if harm == "missing" or not log.exists():
        log.unlink(missing_ok=True)
    elif harm == "cut":
        os.truncate(log, log.stat().st_size // 3)
    else:
        log.write_bytes(os.urandom(max(log.stat().st_size, 9000)))
    gateway.start()
    assert gateway.client.names() == ["a"]
    assert gateway.client.invoke("a") == "two" and gateway.client.invoke("a@1") == "one"
    gateway.stop()


def test_what_is_deployed_is_in_the_registrys_own_file(own_gateway, tmp_path):
    """Not in its write-ahead log, which would grow, and which a copy may leave out."""
    gateway = own_gateway()
    deploy(gateway, "a", "a")
    copy = tmp_path / "copy.sqlite"
    shutil.copy(gateway.data / "registry.sqlite", copy)
    assert sqlite3.connect(copy).execute("SELECT name, version FROM version").fetchall() == [("a", 1)]
    for _ in range(20):
        deploy(gateway, "a", "a", if_exists=pb.UPDATE)
    assert (gateway.data / "registry.sqlite-wal").stat().st_size < 100_000
    gateway.stop()
    assert not (gateway.data / "registry.sqlite-wal").exists()


@pytest.mark.parametrize("when", ["1..3", "1+"])
def test_a_disk_that_cannot_be_read_is_called_that(own_gateway, when):
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode != 0:
        pytest.skip("strace may not trace here")
    gateway = own_gateway()
    deploy(gateway, "a", "a")
    gateway.stop()
    before = held(gateway)
    done = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "-P", str(gateway.data / "registry.sqlite"), "-e", "trace=pread64,read",
         "-e", f"inject=pread64,read:error=EIO:when={when}",
         str(BIN / "dcf-gateway"), "--listen", "127.0.0.1:0", "--data-dir", str(gateway.data)],
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "cannot be read" in done.stderr and "disk" in done.stderr and "listening" not in done.stderr
    assert "is damaged" not in done.stderr and "move" not in done.stderr
    assert held(gateway) == before
    gateway.start()
    assert gateway.client.invoke("a") == "a"
    gateway.stop()


def test_the_lock_is_on_the_folder_itself(own_gateway):
    gateway = own_gateway()
    (gateway.data / "gateway.lock").unlink()
    done = subprocess.run(
        [str(BIN / "dcf-gateway"), "--listen", "127.0.0.1:0", "--data-dir", str(gateway.data)],
        capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and f"in use by process {gateway.pid}" in done.stderr
    assert gateway.client.names() == []


def test_nothing_of_a_deploy_that_fails_stays(own_gateway):
    gateway = own_gateway()
    deploy(gateway, "taken", "taken")
    kept = held(gateway)
    failing = {
        "raises": {"handler.py": "raise ValueError(1)\n", "weights.bin": os.urandom(1000)},
        "no-handler": {"other.py": "", "weights.bin": os.urandom(1000)},
        "no-package": {"handler.py": SAYS % "", "requirements.txt": "./no-such-folder\n",
                       "weights.bin": os.urandom(1000)},
        "broken": {"handler.py": SAYS % "", "requirements.txt": "--no-index\nno-such-package==1\n"},
        "taken": {"handler.py": SAYS % "other"},
    }
    for name, files in failing.items():
        refused(gateway.client.deploy_watch, name, bundle(files))
    refused(gateway.client.deploy_watch, "taken", bundle({"handler.py": "raise ValueError(2)\n"}), if_exists=pb.UPDATE)
    refused(gateway.client.deploy_watch, "torn", b"this is no archive" * 100)
    refused(gateway.client.deploy_watch, "Bad Name", bundle({"handler.py": SAYS % "bad name"}))
    left = [p for p in held(gateway) if not p.startswith("logs/")]
    assert left == [p for p in kept if not p.startswith("logs/")]
    assert [p.name for p in (gateway.data / "functions").iterdir()] == ["taken"]
    assert not list((gateway.data / "uploads").iterdir())
    # The same bundle is some other's, too.
    deploy(gateway, "other", "taken")
    refused(gateway.client.deploy_watch, "taken", bundle({"handler.py": SAYS % "taken"}))
    assert gateway.client.invoke("taken") == "taken" and gateway.client.invoke("other") == "taken"
    gateway.stop()


def test_uploads_that_nobody_deploys_go(own_gateway):
    gateway = own_gateway("--limit", "uploads-unused=10s")
    deploy(gateway, "a", "a")
    kept = held(gateway)
    for _ in range(3):
        gateway.client.upload(os.urandom(10_000))
    # One that a function has is needed, however often it is sent again.
    assert gateway.client.upload(bundle({"handler.py": SAYS % "a"}))[1].Known
    assert len(list((gateway.data / "bundles").iterdir())) == 4
    wait_until(lambda: held(gateway) == kept, 40, "the uploads gone")
    assert gateway.client.invoke("a") == "a"
    gateway.stop()
    gateway.start()
    assert gateway.client.invoke("a") == "a"
    gateway.stop()


def test_a_deploy_that_kill_9_cuts_off_leaves_nothing_after_the_restart(own_gateway, tmp_path):
    gateway = own_gateway()
    deploy(gateway, "a", "a")
    kept = [p for p in held(gateway) if not p.startswith("logs/")]
    begun = tmp_path / "begun"
    path = gateway.write("cut", files={"handler.py": f"import time\nopen({str(begun)!r}, 'w').close()\n"
                                                     f"print('half way', flush=True)\ntime.sleep(60)\n"})
    deploying = subprocess.Popen(
        [str(BIN / "dcf"), "function", "create", "-f", str(path), "-g", gateway.address],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(begun.exists, 30, "the constructor runs")
    log = gateway.data / "logs/cut/log"
    wait_until(lambda: log.exists() and "half way" in log.read_text(), 10, "its line is in the log")
    gateway.kill()
    assert deploying.wait(30) == 1
    gateway.start()
    assert [p for p in held(gateway) if not p.startswith("logs/")] == kept
    assert gateway.client.names() == ["a"] and gateway.client.invoke("a") == "a"
    assert "half way" in gateway.client.log("cut") and "not deployed" in gateway.client.log("cut")
    gateway.stop()
