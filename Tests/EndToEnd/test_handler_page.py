"""docs/writing-a-handler.md: each example is deployed as it stands there, and its calls say what the page says."""
import os
import pathlib
import re
import subprocess
import sys

import pytest

from support.gateway import BIN
from support.processes import exists
from support.waiting import wait_until

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs/writing-a-handler.md").read_text()


class Example:
    """A section of the page: its files, and its console sessions."""

    def __init__(self, title, text):
        self.title, self.files, self.sessions = title, {}, []
        for kind, body in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            first, _, rest = body.partition("\n")
            if kind == "console":
                self.sessions += self.commands(body)
            else:
                assert re.fullmatch(r"# [\w.]+", first), (
                    f"{title}: a block of {kind} does not begin with its file's name")
                self.files[first[2:]] = rest if kind == "text" else body

    @staticmethod
    def commands(body):
        """Each command with the lines that follow it."""
        found = []
        for line in body.splitlines(keepends=True):
            if line.startswith("$ "):
                found.append((line[2:].strip(), ""))
            else:
                found[-1] = (found[-1][0], found[-1][1] + line)
        return found


EXAMPLES = [
    Example(title, text) for title, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)]


def test_every_part_of_the_page_is_an_example():
    assert len(EXAMPLES) >= 16
    for example in EXAMPLES:
        assert {"handler.py", "config.yaml"} <= set(example.files), f"{example.title} has no handler.py and config.yaml"
        assert example.sessions, f"{example.title} does not show a call"
    anchors = [re.sub(r"[^\w -]", "", e.title.lower()).replace(" ", "-") for e in EXAMPLES]
    assert re.findall(r"^- \[.*?\]\(#(.*?)\)$", PAGE, re.MULTILINE) == anchors, "the list at the top is the page's"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_the_example_does_what_the_page_says(gateway, tmp_path, example):
    for name, content in example.files.items():
        (tmp_path / name).write_text(content)
    names = re.findall(r"^  ([\w-]+):$", example.files["config.yaml"], re.MULTILINE)
    gateway.dcf("function", "create", "-f", "config.yaml", cwd=tmp_path)
    gateway.deployed.update(names)
    environment = {
        **{k: v for k, v in os.environ.items() if "proxy" not in k.lower()}, "DCF_GATEWAY": gateway.address,
        "PATH": os.pathsep.join([str(BIN), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])}
    for command, expected in example.sessions:
        done = subprocess.run(
            ["bash", "-c", command.replace("127.0.0.1:32222", gateway.address).replace(" Protos", f" {ROOT}/Protos")
             + "\nstatus=$?\nwait\nexit $status"], cwd=tmp_path, env=environment,
            capture_output=True, text=True, timeout=60)
        failed = re.match(r"error: (.*)", expected)
        if failed:
            assert done.returncode != 0 and failed[1] in done.stderr, f"$ {command}\n{done.stderr}{done.stdout}"
        elif expected:
            assert done.returncode == 0, f"$ {command}\n{done.stderr}"
            # Two commands side by side write without a line's end between them.
            said, meant = (done.stdout.replace("\n", ""), expected.replace("\n", "")) if " & " in command else (
                done.stdout.rstrip("\n"), expected.rstrip("\n"))
            assert said == meant, f"$ {command}\n{done.stderr}"
        else:
            assert done.returncode == 0, f"$ {command}\n{done.stderr}"
    pids = [pid for name in names for pid in gateway.replicas(name)]
    gateway.delete(*names)
    wait_until(lambda: not [pid for pid in pids if exists(pid)], 15, f"{example.title}: its replicas are gone")


#: What one process without a gateway does not have: a version, a deadline, a second call, another function.
NEEDS_A_GATEWAY = {"greeter", "patient", "barrier", "outer", "warmed", "instant", "versioned"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_dcf_function_run_tries_it_too(tmp_path, example):
    name = re.search(r"^  ([\w-]+):$", example.files["config.yaml"], re.MULTILINE)[1]
    if name in NEEDS_A_GATEWAY:
        pytest.skip("shows what only a gateway has")
    for file, content in example.files.items():
        (tmp_path / file).write_text(content)
    command, expected = example.sessions[0]
    data = re.match(r"echo -n '?(.*?)'? \|", command)[1]
    done = subprocess.run(
        [str(BIN / "dcf"), "function", "run", name], cwd=tmp_path, input=data.encode(), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().rstrip("\n") == expected.rstrip("\n"), done.stderr.decode()


def test_the_exception_of_a_cancel_is_what_the_page_says(gateway, client, tmp_path):
    (example,) = [e for e in EXAMPLES if e.title == "Callers that go away"]
    for name, content in example.files.items():
        (tmp_path / name).write_text(content)
    gateway.dcf("function", "create", "-f", str(tmp_path / "config.yaml"))
    gateway.deployed.add("interruptible")
    call = client.occupy("interruptible", b"work", b"how many left?")
    call.cancel()
    assert client.invoke("interruptible", b"how many left?", timeout=20) == "1"
    gateway.delete("interruptible")
