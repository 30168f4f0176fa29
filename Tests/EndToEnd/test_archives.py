"""S2: archives and names that mean harm. Each is refused with a clear error, and no file of it is left."""
import io
import os
import tarfile

import pytest

from support import length
from support.bundles import bundle, entries, entry
from support.client import refused

GOOD = {"handler.py": b"def Handler(req):\n    return 'ran'\n"}
HANDLER = (entry("handler.py"), GOOD["handler.py"])

BAD = {
    "parent": entries(HANDLER, (entry("../escaped-4711"), b"x")),
    "parent deep inside": entries(HANDLER, (entry("a/b/../../../escaped-4711"), b"x")),
    "absolute": entries(HANDLER, (entry("/tmp/escaped-4711"), b"x")),
    "link out": entries(HANDLER, (entry("out", tarfile.SYMTYPE, "/etc"), None)),
    "link out by dots": entries(HANDLER, (entry("out", tarfile.SYMTYPE, "../../../../etc"), None)),
    "write through a link": entries(
        HANDLER, (entry("out", tarfile.SYMTYPE, "/tmp"), None), (entry("out/escaped-4711"), b"x")),
    "hard link out": entries(HANDLER, (entry("passwd", tarfile.LNKTYPE, "/etc/passwd"), None)),
    "hard link out by dots": entries(HANDLER, (entry("passwd", tarfile.LNKTYPE, "../../../../etc/passwd"), None)),
    "character device": entries(HANDLER, (entry("null", tarfile.CHRTYPE), None)),
    "block device": entries(HANDLER, (entry("disk", tarfile.BLKTYPE), None)),
    "fifo": entries(HANDLER, (entry("fifo", tarfile.FIFOTYPE), None)),
    "name with a NUL": entries(HANDLER, (entry("a", pax={"path": "a\x00b"}), b"x")),
    "control characters": entries(HANDLER, (entry("a\x1b[31mb\n"), b"x")),
    "name of 10 kB": entries(HANDLER, (entry("n" * 10_000), b"x")),
    "not a tar": b"this is no archive at all, but it is long enough to be one. " * 100,
    "empty": b"",
    "cut off": bundle({**GOOD, "big": b"x" * 100_000})[:50_000],
    "gzip": b"\x1f\x8b\x08" + os.urandom(5_000),
}


def sparse_bomb():
    """A header that promises 1 TiB and has none of it."""
    made = tarfile.TarInfo("bomb")
    made.size = 1 << 40
    out = bundle(GOOD)
    return out[:-10240].rstrip(b"\0").ljust(1024, b"\0") + made.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024


def counting_bomb(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(HANDLER[0], io.BytesIO(HANDLER[1]))
        for n in range(files):
            tar.addfile(tarfile.TarInfo(f"f{n}"))
    return out.getvalue()


@pytest.fixture(scope="module", autouse=True)
def ready(gateway):
    gateway.deploy("echo")


def files_of(gateway):
    return sorted(
        str(p.relative_to(gateway.data)) for part in ("functions", "uploads") for p in (gateway.data / part).rglob("*"))


def refuses(gateway, data):
    before = files_of(gateway)
    try:
        error = refused(gateway.client.deploy_watch, "harmful", data)
    except AssertionError:
        gateway.delete("harmful")
        raise
    assert error.name in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"), error
    assert error.executed == "no" and error.message
    assert "harmful" not in gateway.client.names()
    assert files_of(gateway) == before
    assert not os.path.exists("/tmp/escaped-4711")
    assert not list(gateway.folder.rglob("escaped-4711"))
    assert gateway.client.invoke("echo", b"x") == "x"
    return error


@pytest.mark.fault("S2")
@pytest.mark.parametrize("kind", BAD)
def test_a_harmful_archive(gateway, kind):
    if kind == "empty":
        error = refused(lambda: gateway.client.deploy_watch("harmful", BAD[kind]))
        assert error.executed == "no"
        return
    refuses(gateway, BAD[kind])


@pytest.mark.fault("S2")
def test_a_bomb_by_size(gateway):
    refuses(gateway, sparse_bomb())


@pytest.mark.fault("S2")
def test_a_bomb_by_count(own_gateway):
    files = length(1_000, 100_000)
    gateway = own_gateway("--limit", f"bundle-files={files}")
    gateway.deploy("echo")
    error = refuses(gateway, counting_bomb(files + 1))
    assert str(files) in error.message.replace(",", "").replace("_", "").replace(" ", "")


@pytest.mark.fault("S2")
def test_an_upload_that_says_it_is_larger_than_the_limit(gateway):
    error = refused(gateway.client.upload, b"x", digest="3" * 64, size=1 << 50)
    assert error.name in ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT") and error.executed == "no"


def test_a_good_archive_runs(gateway):
    gateway.client.deploy_watch("harmless",
                                bundle({**GOOD, "a/b/c.txt": b"x", "name with spaces": b"x", "ünïcode": b"x"}))
    assert gateway.client.invoke("harmless") == "ran"
