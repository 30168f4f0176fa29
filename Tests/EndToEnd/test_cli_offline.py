"""The commands of `dcf` that need no gateway."""
import pytest

from support.gateway import dcf, write_function

COMMANDS = [
    [], ["runtime"], ["runtime", "list"], ["function"], ["fn"],
    *[["function", c] for c in (
        "init", "build", "run", "deploy", "create", "list", "call", "invoke", "info", "log", "delete", "restart",
        "scale")],
    ["version"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c) or "dcf")
def test_help_has_an_example(command):
    done = dcf(*command, "--help")
    assert done.returncode == 0 and "USAGE" in done.text.upper()
    if len(command) == 2 and command[1] != "invoke" or command == ["version"]:
        usage, rest = done.text.upper().split("USAGE", 1)
        example = f"DCF {' '.join(command).upper()}"
        assert example in usage or rest.count(example) > 1, "an example beside the usage line"


@pytest.mark.parametrize(
    "typed, nearest",
    [(["functoin", "list"], "function"), (["function", "lst"], "list"), (["function", "crate"], "create")])
def test_a_misspelled_command_suggests_the_nearest(typed, nearest):
    done = dcf(*typed, check=False)
    assert done.returncode not in (0, None) and nearest in done.error and done.stdout == b""


def test_runtime_list():
    assert "python3" in dcf("runtime", "list").text


def test_init_loses_nothing_of_a_config(tmp_path):
    original = "# ours, by hand\nfunctions:\n  first:   # the old one\n    runtime: python3\n    desc: \"kept\"\n"
    (tmp_path / "config.yaml").write_text(original)
    dcf("function", "init", "second", "-r", "python3", "-g", "10.0.0.1:32222", cwd=tmp_path)
    config = (tmp_path / "config.yaml").read_text()
    for line in original.splitlines():
        assert line in config
    assert "second" in config and "10.0.0.1:32222" in config
    done = dcf("function", "init", "second", "-r", "python3", cwd=tmp_path, check=False)
    assert done.returncode == 1 and "second" in done.error


@pytest.mark.parametrize("name", ["Upper", "1st", "a_b", "a/b", "../x", ""])
def test_init_of_a_bad_name(tmp_path, name):
    done = dcf("function", "init", name, "--runtime", "python3", cwd=tmp_path, check=False)
    assert done.returncode != 0 and list(tmp_path.iterdir()) == []


def test_init_of_an_unknown_runtime(tmp_path):
    done = dcf("function", "init", "x", "--runtime", "pyton3", cwd=tmp_path, check=False)
    assert done.returncode != 0 and "python3" in done.error and list(tmp_path.iterdir()) == []


def offline(tmp_path):
    """No gateway at all, and a cache of its own."""
    return {"DCF_GATEWAY": "127.0.0.1:9", "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_run_needs_no_gateway(tmp_path):
    path = write_function(tmp_path / "work", "echo")
    done = dcf("function", "run", "echo", "-f", str(path), input=b"\xff\x00bytes", environment=offline(tmp_path))
    assert done.stdout == b"\xff\x00bytes"
    path = write_function(tmp_path / "more", "noisy")
    done = dcf("function", "run", "noisy", "-f", str(path), input=b"say words", environment=offline(tmp_path))
    assert done.stdout == b"done" and "words" in done.error


def test_run_of_a_constructor_that_raises_ends_with_the_traceback(tmp_path):
    path = write_function(tmp_path / "work", "broken", files={
        "handler.py": "class Handler:\n    def __init__(self):\n        raise ValueError('bad weights')\n"
                      "    def __call__(self, req): pass\n"})
    done = dcf("function", "run", "broken", "-f", str(path), input=b"x", environment=offline(tmp_path), check=False,
               timeout=60)
    assert done.returncode == 1 and done.stdout == b""
    assert "Traceback" in done.error and "handler.py" in done.error and "ValueError: bad weights" in done.error


def test_run_of_a_handler_that_raises(tmp_path):
    path = write_function(tmp_path / "work", "kinds")
    done = dcf("function", "run", "kinds", "-f", str(path), input=b"error oh", environment=offline(tmp_path),
               check=False)
    assert done.returncode == 1 and "ValueError: oh" in done.error
    done = dcf("function", "run", "kinds", "-f", str(path), input=b"none", environment=offline(tmp_path), check=False)
    assert done.returncode == 1 and "None" in done.error


@pytest.mark.parametrize(
    "files, said",
    [
        ({"handler.py": "def Handler(req)\n    pass\n"}, "handler.py:1:"),
        ({"other.py": ""}, "handler.py"),
        ({"handler.py": "def Handler(req): pass\n", "requirements.txt": "no-such-package-of-ours-4711\n"}, "4711"),
    ])
def test_build_of_something_broken(tmp_path, files, said):
    path = write_function(tmp_path / "work", "unbuilt", files=files)
    done = dcf("function", "build", "-f", str(path), environment=offline(tmp_path), check=False)
    assert done.returncode == 1 and said in done.error


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions(shell):
    assert "function" in dcf("--generate-completion-script", shell).text
