"""Every command of `dcf`, as a person types it."""
import os
import re
import subprocess

import pytest

from support.gateway import BIN, dcf
from support.waiting import wait_until


@pytest.fixture(scope="module", autouse=True)
def functions(gateway):
    gateway.deploy("echo", config={"desc": "Says it again", "maintainer": "Kim", "image": "registry.example/echo:2"})
    gateway.deploy("kinds")


def test_version(gateway):
    said = gateway.dcf("version").text
    assert len(re.findall(r"\d+\.\d+\.\d+", said)) >= 2
    alone = dcf("version", "-g", "127.0.0.1:9", check=False)
    assert re.search(r"\d+\.\d+\.\d+", alone.text)


def test_call_is_byte_for_byte(gateway):
    data = bytes(range(256)) * 10
    for word in ("call", "invoke"):
        assert gateway.dcf("function", word, "echo", input=data).stdout == data
    assert gateway.dcf("fn", "call", "echo", input=b"").stdout == b""
    big = os.urandom(20_000_000)
    assert gateway.dcf("function", "call", "echo", input=big).stdout == big
    assert gateway.dcf("function", "call", "kinds", input=b"binary").stdout == b"\xff\xfe\x00\x80"


def test_call_that_fails(gateway):
    done = gateway.dcf("function", "call", "kinds", input=b"error oh no", check=False)
    assert done.returncode == 1 and done.stdout == b""
    assert "ValueError: oh no" in done.error and "handler.py" in done.error
    done = gateway.dcf("function", "call", "kins", input=b"x", check=False)
    assert done.returncode == 1 and "kins" in done.error and "kinds" in done.error


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "https_proxy", "grpc_proxy", "all_proxy"])
def test_proxy_variables_do_not_touch_the_gateways_address(gateway, variable):
    done = gateway.dcf("function", "call", "echo", input=b"x",
                       environment={variable: "http://127.0.0.1:9", "no_proxy": ""})
    assert done.stdout == b"x"


def test_which_gateway_is_asked(gateway, tmp_path):
    (tmp_path / "config.yaml").write_text(f"dcf:\n  gateway: {gateway.address}\nfunctions: {{}}\n")
    nowhere = {"DCF_GATEWAY": "127.0.0.1:9"}
    assert dcf("function", "call", "echo", input=b"x", cwd=tmp_path, environment=nowhere).stdout == b"x"
    assert dcf("function", "call", "echo", "-g", gateway.address, input=b"x", environment=nowhere).stdout == b"x"
    assert dcf("function", "call", "echo", input=b"x", environment={"DCF_GATEWAY": gateway.address}).stdout == b"x"
    done = dcf("function", "call", "echo", input=b"x", environment=nowhere, check=False)
    assert done.returncode == 1 and "127.0.0.1:9" in done.error


def test_list_is_a_table(gateway):
    lines = gateway.dcf("function", "list").text.splitlines()
    assert lines[0].split() == ["Function", "Image", "Maintainer", "Invocations", "Replicas", "Status", "Description"]
    row = next(line for line in lines if line.startswith("echo"))
    for word in ("registry.example/echo:2", "Kim", "Ready", "Says it again"):
        assert word in row
    # The columns stand one below the other.
    assert row.index("Ready") == lines[0].index("Status")


def test_info(gateway):
    said = gateway.dcf("function", "info", "echo").text
    for word in ("echo", "Ready", "Kim", "registry.example/echo:2", "Says it again"):
        assert word in said
    done = gateway.dcf("function", "info", "ecko", check=False)
    assert done.returncode == 1 and "echo" in done.error


def test_scale_and_restart(gateway):
    gateway.dcf("function", "scale", "echo", "2")
    wait_until(lambda: gateway.client.meta("echo").AvailableReplicas == 2, 20)
    before = gateway.replicas("echo")
    gateway.dcf("function", "restart", "echo")
    gateway.wait_ready("echo")
    assert set(before).isdisjoint(gateway.replicas("echo"))
    gateway.dcf("function", "scale", "echo", "1")
    assert gateway.dcf("function", "scale", "echo", "many", check=False).returncode != 0


def test_log_and_tail_and_follow(gateway):
    gateway.deploy("noisy")
    for n in range(5):
        gateway.client.invoke("noisy", b"say words %d" % n)
    wait_until(lambda: "words 4" in gateway.dcf("function", "log", "noisy").text, 5)
    tail = gateway.dcf("function", "log", "noisy", "--tail", "2").text
    assert len(tail.splitlines()) == 2
    follow = subprocess.Popen(
        [str(BIN / "dcf"), "function", "log", "noisy", "--follow", "--tail", "1", "-g", gateway.address],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert follow.stdout.readline()
        gateway.client.invoke("noisy", b"say fresh words")
        while b"fresh words" not in follow.stdout.readline():
            pass
    finally:
        # Not SIGINT: what a shell starts in the background ignores that.
        follow.terminate()
        follow.wait(10)
        follow.stdout.close()
    done = gateway.dcf("function", "log", "nosiy", check=False)
    assert done.returncode == 1 and "noisy" in done.error


@pytest.mark.parametrize("word", ["delete", "remove", "rm"])
def test_delete_and_its_other_names(gateway, word):
    gateway.deploy("gone-a", "echo")
    gateway.deploy("gone-b", "echo")
    gateway.dcf("function", word, "gone-a", "gone-b")
    gateway.deployed -= {"gone-a", "gone-b"}
    assert not {"gone-a", "gone-b"} & set(gateway.client.names())
    done = gateway.dcf("function", word, "gone-a", check=False)
    assert done.returncode == 1 and "gone-a" in done.error


def test_init_makes_what_create_takes(gateway, tmp_path):
    dcf("function", "init", "fresh", "--runtime", "python3", cwd=tmp_path)
    for name in ("handler.py", "requirements.txt", "Dockerfile"):
        assert (tmp_path / "fresh" / name).exists(), name
    config = (tmp_path / "config.yaml").read_text()
    assert "fresh" in config and "gateway" not in config
    gateway.dcf("function", "create", cwd=tmp_path)
    gateway.deployed.add("fresh")
    gateway.dcf("function", "call", "fresh", input=b"hello")


def test_build_prepares_and_deploy_deploys(gateway, tmp_path):
    path = gateway.write("built", files={"handler.py": "import six\ndef Handler(req):\n    return 'built'\n",
                                         "requirements.txt": "six==1.16.0\n"})
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    gateway.dcf("function", "build", "-f", str(path), "-v", environment=cache)
    assert list((tmp_path / "cache/dcf/environments").iterdir())
    gateway.dcf("function", "deploy", "-f", str(path), environment=cache)
    gateway.deployed.add("built")
    assert gateway.client.invoke("built") == "built"


def test_a_reader_that_leaves(gateway):
    """`dcf ... | head -1` is no error worth a crash."""
    gateway.deploy("echo", None, "--replace")
    done = subprocess.run(
        f"head -c 30000000 /dev/zero | {BIN}/dcf function call echo -g {gateway.address} | head -c 1 | wc -c",
        shell=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "1" and "Fatal" not in done.stderr
