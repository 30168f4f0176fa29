"""`dcf function create`, and what it says when something is wrong."""
import os
import subprocess

from support.client import refused
from support.waiting import wait_until


def fails(gateway, name, **options):
    """A deploy that must fail with exit status 1 and register nothing; returns what it said."""
    done = gateway.deploy(name, check=False, **options)
    assert done.returncode == 1, f"ended with {done.returncode}: {done.error}"
    assert done.stdout == b"", "words for people belong on standard error"
    assert name not in gateway.client.names()
    return done.error


def test_the_first_deploy(gateway, client):
    done = gateway.deploy("echo")
    assert done.stdout == b"" or b"echo" in done.stdout
    assert "echo" in done.error + done.text
    assert client.invoke("echo", b"hi") == "hi"


def test_a_constructor_that_raises_shows_the_traceback_and_registers_nothing(gateway, client):
    children = len(gateway.below())
    said = fails(gateway, "raises", files={"handler.py": """\
from parts import load

class Handler:
    def __init__(self):
        self.model = load("weights.bin")

    def __call__(self, req):
        return ""
""", "parts.py": """\
def load(path):
    raise ValueError(f"bad weights in {path}")
"""})
    assert "Traceback (most recent call last)" in said
    assert "handler.py" in said and "line 5" in said and "parts.py" in said and "line 2" in said
    assert "ValueError: bad weights in weights.bin" in said
    wait_until(lambda: len(gateway.below()) <= children, 5, "no process left")
    assert not (gateway.data / "functions/raises").exists()


def test_the_constructor_of_a_first_deploy_runs_once(gateway, tmp_path):
    count = tmp_path / "count"
    fails(gateway, "once", files={"handler.py": f"""
class Handler:
    def __init__(self):
        open({str(count)!r}, "a").write("ran\\n")
        raise OSError("no")
    def __call__(self, req):
        return ""
"""}, config={"replicas": {"min": 3, "max": 3}})
    assert count.read_text() == "ran\n"


def test_an_import_that_fails(gateway):
    said = fails(gateway, "imports",
                 files={"handler.py": "import json\nimport no_such_module\n\ndef Handler(req): pass\n"})
    assert "No module named 'no_such_module'" in said and "handler.py" in said and "line 2" in said


def test_a_syntax_error(gateway):
    said = fails(gateway, "syntax", files={"handler.py": "def Handler(req)\n    return 1\n"})
    assert "SyntaxError" in said and "handler.py" in said and "line 1" in said


def test_a_constructor_that_exits(gateway):
    said = fails(gateway, "exits",
                 files={"handler.py": "import sys\nclass Handler:\n    def __init__(self):\n        sys.exit(5)\n"
                                                "    def __call__(self, req): pass\n"})
    assert "SystemExit" in said


def test_a_constructor_that_ends_the_process(gateway):
    said = fails(gateway, "ends", files={"handler.py": "import os\nos._exit(7)\n"})
    assert "7" in said


def test_a_constructor_that_crashes(gateway):
    said = fails(gateway, "crashes", files={"handler.py": "import ctypes\nctypes.string_at(0)\n"})
    assert "SIGSEGV" in said or "signal 11" in said or "Segmentation" in said


def test_a_missing_handler_file(gateway):
    said = fails(gateway, "nofile", files={"other.py": "x = 1\n"})
    assert "handler.py" in said


def test_a_missing_folder(gateway):
    said = fails(gateway, "nofolder", files={"handler.py": ""}, config={"handler": {"dir": "elsewhere"}})
    assert "elsewhere" in said


def test_a_class_that_is_not_there(gateway):
    said = fails(gateway, "noclass", files={"handler.py": "class Handle:\n    pass\n"})
    assert '"Handler"' in said or "'Handler'" in said or "Handler" in said
    assert "handler.py" in said and "Handle" in said


def test_a_handler_that_cannot_be_called(gateway):
    said = fails(gateway, "uncallable", files={"handler.py": "class Handler:\n    pass\n"})
    assert "__call__" in said


def test_requirements_that_cannot_be_installed(gateway):
    said = fails(gateway, "badreq", files={
        "handler.py": "def Handler(req): pass\n", "requirements.txt": "no-such-package-of-ours-4711==1.0\n"})
    assert "no-such-package-of-ours-4711" in said
    assert "badreq" not in [p.name for p in (gateway.data / "functions").iterdir()]


def test_pips_own_output_with_v_and_a_progress_line_without(gateway):
    files = {"handler.py": "def Handler(req): return 'x'\n", "requirements.txt": "six==1.15.0\n"}
    quiet = gateway.deploy("quiet", files=files)
    assert "Collecting six" not in quiet.error and quiet.error.strip()
    loud = gateway.deploy("loud", None, "-v", files={**files, "requirements.txt": "six==1.14.0\n"})
    assert "six" in loud.error and ("Collecting" in loud.error or "Installing" in loud.error)


def test_a_typo_in_the_config(gateway, tmp_path):
    (tmp_path / "config.yaml").write_text("functions:\n  typo:\n    runtime: python3\n    enviroment: [A=B]\n")
    done = gateway.dcf("function", "create", "-f", str(tmp_path / "config.yaml"), check=False)
    assert done.returncode != 0
    assert ("enviroment" in done.error and "environment" in done.error and "config.yaml" in done.error
            and "4" in done.error)


def test_a_config_that_is_not_there(gateway, tmp_path):
    done = gateway.dcf("function", "create", cwd=tmp_path, check=False)
    assert done.returncode != 0 and "config.yaml" in done.error


def test_a_function_that_the_config_does_not_have(gateway):
    path = gateway.write("echo")
    done = gateway.dcf("function", "create", "-f", str(path), "ecko", check=False)
    assert done.returncode != 0 and "ecko" in done.error and "echo" in done.error


def test_a_name_that_is_taken(gateway, client):
    gateway.deploy("twice", "echo")
    done = gateway.deploy("twice", "plain", check=False)
    assert done.returncode == 1 and "twice" in done.error
    assert "--update" in done.error or "--replace" in done.error
    assert client.invoke("twice", b"x") == "x"
    gateway.deploy("twice", "plain", "--update")
    assert client.invoke("twice", b"x") == "plain:x"
    gateway.deploy("twice", "echo", "--replace")
    assert client.invoke("twice", b"x") == "x"


def test_a_broken_update_keeps_the_old_version(gateway, client):
    gateway.deploy("sturdy", "echo")
    done = gateway.deploy("sturdy", None, "--update", files={"handler.py": "raise ValueError('new and broken')\n"},
                          check=False)
    assert done.returncode == 1 and "new and broken" in done.error
    assert client.invoke("sturdy", b"x") == "x"


def test_a_big_folder_goes_up_in_pieces(gateway, client):
    gateway.deploy("weighty", files={
        "handler.py": "import os\ndef Handler(req):\n    return str(os.path.getsize('weights.bin'))\n",
        "weights.bin": os.urandom(40_000_000)})
    assert client.invoke("weighty") == "40000000"


def test_links_inside_the_folder_are_followed_and_links_out_of_it_refused(gateway, client):
    path = gateway.write("linked", files={
        "handler.py": "def Handler(req):\n    return open('alias.txt').read()\n", "real.txt": "the real one"})
    code = path.parent / "linked"
    (code / "alias.txt").symlink_to("real.txt")
    gateway.dcf("function", "create", "-f", str(path))
    gateway.deployed.add("linked")
    assert client.invoke("linked") == "the real one"
    (code / "outside").symlink_to("/etc/passwd")
    done = gateway.dcf("function", "create", "-f", str(path), "--update", check=False)
    assert done.returncode == 1 and "outside" in done.error


def test_dcfignore_and_what_is_left_out_by_default(gateway, client):
    files = {
        "handler.py": "import os\ndef Handler(req):\n    return ' '.join(sorted(os.listdir('.')))\n",
        ".dcfignore": "*.big\nsecrets/\n", "model.big": "x", "model.small": "x", "secrets/key": "x",
        ".git/HEAD": "x", ".venv/bin/python": "x", "__pycache__/old.pyc": "x"}
    gateway.deploy("ignoring", files=files)
    seen = client.invoke("ignoring").split()
    assert "model.small" in seen and "handler.py" in seen
    assert not {"model.big", "secrets", ".git", ".venv"} & set(seen)


def test_a_name_as_good_as_it_gets(gateway, client):
    name = "a" + "b-9" * 20 + "cd"
    gateway.deploy(name, "echo")
    assert client.invoke(name, b"x") == "x"


def test_several_functions_of_one_config(gateway, client, tmp_path):
    import json
    import shutil

    from support.gateway import FUNCTIONS

    for name in ("one", "two", "three"):
        shutil.copytree(FUNCTIONS / "echo", tmp_path / name)
    config = {"functions": {n: {"runtime": "python3"} for n in ("one", "two", "three")}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    gateway.dcf("function", "create", "one", "two", cwd=tmp_path)
    assert {"one", "two"} <= set(client.names()) and "three" not in client.names()
    gateway.dcf("function", "create", "--update", cwd=tmp_path)
    assert client.invoke("three", b"x") == "x"
    gateway.dcf("function", "delete", "-f", "config.yaml", cwd=tmp_path)
    assert not {"one", "two", "three"} & set(client.names())


def test_a_gateway_that_is_not_there(gateway):
    path = gateway.write("echo")
    done = gateway.dcf("function", "create", "-f", str(path), "-g", "127.0.0.1:9", check=False)
    assert done.returncode == 1 and "127.0.0.1:9" in done.error


def test_deploys_at_the_same_time(gateway, client):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: gateway.deploy(f"side-{n}", "echo"), range(6)))
    assert all(client.invoke(f"side-{n}", b"x") == "x" for n in range(6))


def test_nothing_of_the_failed_ones_is_left(gateway, client):
    kept = set(client.names())
    assert {p.name for p in (gateway.data / "functions").iterdir()} == kept
    assert list((gateway.data / "uploads").iterdir()) == []
    assert refused(client.invoke, "raises").name == "NOT_FOUND"
    # Packages in a venv may call their own files so.
    found = ["find", str(gateway.data), "-path", "*/environments/*", "-prune", "-o", "-name", "*.tmp*", "-print"]
    assert subprocess.run(found, capture_output=True).stdout == b""
