"""What was acknowledged is there after kill -9; what else the data folder promises."""
import sqlite3
import subprocess

import pytest

from support.client import pb, refused
from support.gateway import BIN
from support.waiting import wait_until


def test_functions_are_there_after_kill_9_and_run_again(own_gateway):
    gateway = own_gateway()
    gateway.deploy("echo")
    gateway.deploy("plain", config={"replicas": {"min": 2, "max": 2}, "desc": "kept"})
    gateway.deploy("twice", "echo")
    gateway.deploy("twice", "plain", "--update")
    gateway.client.call("ReplicaUpdate", pb.ScaleServiceRequest(ServiceName="echo", Replicas=2))
    gateway.deploy("gone", "echo")
    gateway.delete("gone")
    gateway.kill()
    gateway.start()
    assert gateway.client.names() == ["echo", "plain", "twice"]
    for name in ("echo", "plain", "twice"):
        gateway.wait_ready(name)
    assert gateway.client.invoke("echo", b"x") == "x"
    assert gateway.client.invoke("twice", b"x") == "plain:x"
    assert gateway.client.meta("plain").Description == "kept"
    assert wait_until(lambda: gateway.client.meta("echo").AvailableReplicas == 2, 20)
    gateway.stop()


def test_invocation_counts_survive_a_stop(own_gateway):
    gateway = own_gateway()
    gateway.deploy("echo")
    for _ in range(7):
        gateway.client.invoke("echo", b"x")
    gateway.stop()
    gateway.start()
    gateway.wait_ready("echo")
    assert gateway.client.meta("echo").InvocationCount == 7
    gateway.stop()


def test_a_call_right_after_the_start_waits_for_ready(own_gateway):
    gateway = own_gateway()
    gateway.deploy("slow", files={"handler.py": "import time\ntime.sleep(1)\ndef Handler(req):\n    return 'there'\n"})
    gateway.kill()
    gateway.start()
    assert gateway.client.invoke("slow", timeout=30) == "there"


def test_two_gateways_on_one_folder(own_gateway):
    gateway = own_gateway()
    done = subprocess.run(
        [str(BIN / "dcf-gateway"), "--listen", "127.0.0.1:0", "--data-dir", str(gateway.data)],
        capture_output=True, text=True, timeout=30)
    assert done.returncode not in (0, -6, -11) and str(gateway.pid) in done.stderr
    assert gateway.client.names() == []


def test_a_database_that_is_newer_than_the_program(own_gateway):
    gateway = own_gateway()
    gateway.deploy("echo")
    gateway.stop()
    database = sqlite3.connect(gateway.data / "registry.sqlite")
    database.execute("INSERT INTO grdb_migrations VALUES ('v999-from-the-future')")
    database.commit()
    database.close()
    with pytest.raises(AssertionError):
        gateway.start()
    assert "newer" in gateway.text()


def test_a_database_that_is_no_database(own_gateway):
    gateway = own_gateway(start=False)
    gateway.data.mkdir(parents=True)
    (gateway.data / "registry.sqlite").write_bytes(b"not a database at all " * 500)
    with pytest.raises(AssertionError):
        gateway.start()
    assert "registry.sqlite" in gateway.text()


def test_a_long_data_folder(own_gateway, tmp_path):
    gateway = own_gateway(start=False)
    gateway.data = gateway.folder / ("d" * 120) / "data"
    gateway.start()
    gateway.deploy("echo")
    assert gateway.client.invoke("echo", b"x") == "x"
    gateway.stop()


def test_everything_is_under_the_data_folder(own_gateway):
    gateway = own_gateway()
    gateway.deploy("echo")
    assert {"gateway.lock", "registry.sqlite", "bundles", "functions"} <= {p.name for p in gateway.data.iterdir()}
    assert oct(gateway.data.stat().st_mode & 0o077) == "0o0"
    gateway.stop()
    assert not list((gateway.data / "run").glob("*.sock"))


def test_a_bundle_that_no_function_needs_goes(own_gateway):
    gateway = own_gateway("--limit", "versions=1")
    gateway.deploy("echo")
    gateway.deploy("echo", "plain", "--update")
    wait_until(lambda: len(list((gateway.data / "functions/echo").iterdir())) == 1, 20, "the old version's folder gone")
    gateway.delete("echo")
    wait_until(lambda: not (gateway.data / "functions/echo").exists(), 20)
    assert refused(gateway.client.invoke, "echo").name == "NOT_FOUND"
