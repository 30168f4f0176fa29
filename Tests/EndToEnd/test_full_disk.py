"""The data folder's disk is full: what is there goes on, and `delete` makes room again."""
import os
import pathlib

import pytest

from support.bundles import bundle
from support.client import pb, refused
from support.small_disk import small_disk
from support.waiting import wait_until
from test_environments import environments, wheel

pytestmark = pytest.mark.process

ECHO = {"handler.py": "def Handler(req):\n    return req.input\n"}


def delete(gateway, name):
    gateway.client.call("Delete", pb.DeleteFunctionRequest(FunctionName=name))


def test_delete_frees_a_full_disk(own_gateway, tmp_path):
    gateway = own_gateway(start=False)
    with small_disk(gateway, 40) as disk:
        gateway.start()
        gateway.deploy("echo", files=ECHO)
        wheel(tmp_path / "wheels", "x")
        gateway.deploy("big", files={
            "handler.py": "import tinyx\ndef Handler(req): return tinyx.V\n", "weights.bin": os.urandom(8 << 20),
            "requirements.txt": f"--no-index\n--find-links {tmp_path / 'wheels'}\ntinyx\n"})
        gateway.deploy("small", files=ECHO)
        disk.fill()
        another = bundle({**ECHO, "weights.bin": os.urandom(4 << 20)})
        error = refused(gateway.client.deploy_watch, "another", another)
        assert (error.name, error.executed) == ("RESOURCE_EXHAUSTED", "no") and "disk is full" in error.message
        for n in range(2001):
            assert gateway.client.invoke("echo", b"%d" % n) == str(n)
        # Even one that frees next to nothing.
        delete(gateway, "small")
        assert gateway.client.names() == ["big", "echo"]
        disk.fill()
        delete(gateway, "big")
        assert gateway.client.names() == ["echo"]
        assert not environments(gateway) and disk.free > 12 << 20
        assert [p.name for p in (gateway.data / "functions").iterdir()] == ["echo"]
        assert len(list((gateway.data / "bundles").iterdir())) == 1
        # Without any more help.
        gateway.client.deploy_watch("another", another)
        assert gateway.client.invoke("another", b"x") == "x"
        gateway.kill()
        gateway.start()
        assert gateway.client.names() == ["another", "echo"]
        gateway.stop()


def test_calls_are_counted_while_the_disk_is_full(own_gateway):
    gateway = own_gateway(start=False)
    with small_disk(gateway, 20) as disk:
        gateway.start()
        gateway.client.deploy_watch("echo", bundle(ECHO))
        disk.fill()
        for _ in range(501):
            gateway.client.invoke("echo", b"x")
        wait_until(lambda: "counts are not written yet" in gateway.text(), 20, "a count that could not be written")
        disk.ballast.unlink()
        for _ in range(500):
            gateway.client.invoke("echo", b"x")
        wait_until(lambda: gateway.client.meta("echo").InvocationCount == 1001, 10)
        disk.fill()
        # Also those of a time that lasts until the end.
        for _ in range(1000):
            gateway.client.invoke("echo", b"x")
        gateway.stop()
        gateway.start()
        assert gateway.client.meta("echo").InvocationCount == 2001
        gateway.stop()


def test_a_gateway_starts_on_a_full_disk(own_gateway):
    gateway = own_gateway(start=False)
    with small_disk(gateway, 24) as disk:
        gateway.start()
        for name in ("one", "two"):
            gateway.client.deploy_watch(name, bundle({**ECHO, "weights.bin": os.urandom(2 << 20)}))
        disk.fill()
        gateway.kill()
        disk.fill()
        gateway.start()
        assert gateway.client.invoke("one", b"x", timeout=30) == "x"
        delete(gateway, "two")
        gateway.client.deploy_watch("three", bundle(ECHO))
        assert gateway.client.names() == ["one", "three"]
        gateway.stop()


def test_a_bundle_that_cannot_be_unpacked_does_not_stay(own_gateway):
    gateway = own_gateway(start=False)
    with small_disk(gateway, 24) as disk:
        gateway.start()
        disk.fill(leaving=9 << 20)
        free = disk.free
        # Room for the bundle, and not for what is in it.
        error = refused(gateway.client.deploy_watch, "big", bundle({**ECHO, "weights.bin": os.urandom(6 << 20)}))
        assert error.name == "RESOURCE_EXHAUSTED" and "disk is full" in error.message
        left = [
            p for folder in ("bundles", "functions", "uploads") for p in pathlib.Path(gateway.data / folder).iterdir()]
        assert left == [] and disk.free > free - (1 << 20)
        gateway.client.deploy_watch("small", bundle(ECHO))
        assert gateway.client.invoke("small", b"x") == "x"
        gateway.stop()
