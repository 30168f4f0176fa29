"""Environments are what their requirements say, wherever these lead; unused ones go."""
import os
import time
import zipfile

import pytest

from support import FULL
from support.waiting import wait_until

pytestmark = pytest.mark.process

HANDLER = "import tinyx\ndef Handler(req):\n    return tinyx.V\n"


def wheel(folder, text, version="1.0"):
    """A wheel of the package tinyx, whose V is the text; the same name whatever the text."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"tinyx-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as out:
        info = f"tinyx-{version}.dist-info"
        out.writestr(zipfile.ZipInfo("tinyx/__init__.py"), f"V = {text!r}\n")
        out.writestr(zipfile.ZipInfo(f"{info}/METADATA"), f"Metadata-Version: 2.1\nName: tinyx\nVersion: {version}\n")
        out.writestr(zipfile.ZipInfo(f"{info}/WHEEL"),
                     "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "")
    return path


def package(folder, text):
    """The source of the same package, with a backend of its own, so that nothing is fetched."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "tinyx"\nversion = "1.0"\n[build-system]\nrequires = []\nbuild-backend = "be"\n'
        'backend-path = ["."]\n')
    (folder / "text").write_text(text)
    # It leaves files beside the source, as setuptools does.
    (folder / "be.py").write_text("""\
import os, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "tinyx-1.0-py3-none-any.whl"
    os.makedirs("build", exist_ok=True)
    open("build/left-over", "w").write("x")
    with zipfile.ZipFile(os.path.join(folder, name), "w") as out:
        out.writestr("tinyx/__init__.py", "V = %r\\n" % open("text").read())
        out.writestr("tinyx-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tinyx\\nVersion: 1.0\\n")
        out.writestr("tinyx-1.0.dist-info/WHEEL",
                     "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        out.writestr("tinyx-1.0.dist-info/RECORD", "")
    return name
""")


def page(folder, text):
    wheel(folder / "files", text)
    (folder / "index.html").write_text('<html><a href="files/tinyx-1.0-py3-none-any.whl">tinyx</a></html>')


def index(folder, text):
    wheel(folder / "simple/tinyx", text)
    (folder / "simple/tinyx/index.html").write_text(
        '<a href="tinyx-1.0-py3-none-any.whl">tinyx-1.0-py3-none-any.whl</a>')


#: Requirements files (by name), and what makes the package: where OUT is, a folder outside of the function's.
WAYS = {
    "find-links": ({"requirements.txt": "--no-index\n--find-links ./wheels\ntinyx==1.0\n"},
                   lambda own, out, t: wheel(own / "wheels", t)),
    "one-line": ({"requirements.txt": "--no-index --find-links='./my wheels'\ntinyx\n"},
                 lambda own, out, t: wheel(own / "my wheels", t)),
    "included": ({"requirements.txt": "-r reqs/base.txt\n", "reqs/base.txt": "--no-index\n-f wheels\n-r more.txt\n",
                  "reqs/more.txt": "tinyx\n"},
                 lambda own, out, t: wheel(own / "reqs/wheels", t)),
    "outside": ({"requirements.txt": "--no-index\n--find-links=OUT\ntinyx\n"}, lambda own, out, t: wheel(out, t)),
    "url": ({"requirements.txt": "--no-index\n-f file://OUT/with%20space\ntinyx\n"},
            lambda own, out, t: wheel(out / "with space", t)),
    "page": ({"requirements.txt": "--no-index\n--find-links OUT/index.html\ntinyx\n"},
             lambda own, out, t: page(out, t)),
    "index": ({"requirements.txt": "--index-url file://OUT/simple\ntinyx\n"}, lambda own, out, t: index(out, t)),
    "wheel": ({"requirements.txt": "./wheels/tinyx-1.0-py3-none-any.whl\n"},
              lambda own, out, t: wheel(own / "wheels", t)),
    "folder": ({"requirements.txt": "./pk\n"}, lambda own, out, t: package(own / "pk", t)),
    "folder-url": ({"requirements.txt": "file:./pk#egg=tinyx\n"}, lambda own, out, t: package(own / "pk", t)),
    "named-url": ({"requirements.txt": "tinyx @ file://OUT/pk\n"}, lambda own, out, t: package(out / "pk", t)),
    "variable": ({"requirements.txt": "--no-index\n--find-links ${HOME}/wheels\ntinyx\n"},
                 lambda own, out, t: wheel(out / "home/wheels", t)),
}


class Case:
    """Two functions that differ in nothing but the content of one package."""

    def __init__(self, gateway, tmp_path, way):
        self.gateway, self.tmp_path = gateway, tmp_path
        self.requirements, self.make = WAYS[way]

    def write(self, name, text, out):
        out = self.tmp_path / out
        out.mkdir(exist_ok=True)
        files = {path: content.replace("OUT", str(out)) for path, content in self.requirements.items()}
        path = self.gateway.write(name, files={"handler.py": HANDLER, **files})
        self.make(path.parent / name, out, text)
        return path

    def deploy(self, name, text, out, *flags):
        self.gateway.dcf("function", "create", "-f", str(self.write(name, text, out)), *flags)
        return self.gateway.client.invoke(name)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", WAYS if FULL else ["included", "named-url"])
def test_an_environment_is_of_the_content_that_requirements_lead_to(own_gateway, tmp_path, way):
    out = tmp_path / "out"
    home = out / "home"
    home.mkdir(parents=True)
    gateway = own_gateway(environment={"HOME": str(home)} if way == "variable" else None)
    case = Case(gateway, tmp_path, way)
    assert case.deploy("one", "first", "out") == "first"
    # Another function, whose files are called the same.
    assert case.deploy("two", "second", "out") == "second"
    assert gateway.client.invoke("one") == "first"
    # An update with another package under the old name.
    assert case.deploy("two", "third", "out", "--update") == "third"
    made = environments(gateway)
    assert len(made) == 3
    # What is the same is made once; also after a restart nothing is made anew.
    assert case.deploy("three", "third", "out") == "third"
    gateway.stop()
    gateway.start()
    if way not in ("outside", "url", "page", "index", "named-url", "variable"):
        assert gateway.client.invoke("one") == "first"
    assert gateway.client.invoke("two") == "third"
    if way not in ("outside", "url", "page", "index", "named-url", "variable"):
        assert environments(gateway) == made
    gateway.stop()


def environments(gateway):
    folder = gateway.data / "environments"
    return {p.name for p in folder.iterdir() if len(p.name) == 64 and not p.is_symlink()}


def test_dcf_function_run_has_the_same_rule(own_gateway, tmp_path):
    gateway = own_gateway()
    case = Case(gateway, tmp_path, "find-links")
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    for text in ("first", "second"):
        path = case.write("one", text, "out")
        assert gateway.dcf("function", "run", "one", "-f", str(path), environment=cache).text.strip() == text


@pytest.mark.parametrize("line, words", [
    ("-r gone.txt", "line 2"), ("./gone", "line 2"), ("file:///gone/x.whl", "line 2"), ("-c limits/gone.txt", "line 2"),
])
def test_what_requirements_cannot_be_followed_to_names_file_and_line(gateway, line, words):
    done = gateway.deploy("lost", check=False, files={"handler.py": HANDLER, "requirements.txt": f"# none\n{line}\n"})
    assert done.returncode == 1 and "requirements.txt" in done.error and words in done.error and "gone" in done.error


def test_pip_has_the_gateways_folder_for_temporary_files(own_gateway, tmp_path):
    other = tmp_path / "other tmp"
    other.mkdir()
    gateway = own_gateway(environment={"TMPDIR": str(other)})
    done = gateway.deploy("f", check=False, files={
        "handler.py": HANDLER, "requirements.txt": "./pk\n",
        "pk/pyproject.toml": '[project]\nname="pk"\nversion="1"\n[build-system]\nrequires=[]\nbuild-backend="be"\n'
                             'backend-path=["."]\n',
        "pk/be.py": 'import tempfile\nraise SystemExit("builds in " + tempfile.gettempdir())\n'})
    assert done.returncode == 1 and f"builds in {other}" in done.error


def test_another_index_is_another_environment(own_gateway, tmp_path):
    """A variable of pip's that decides where packages come from counts; one with a password in it only without that."""
    for name in ("a", "b"):
        wheel(tmp_path / name, f"from {name}")
    gateway = own_gateway(start=False, environment={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "a")})
    gateway.start()
    gateway.deploy("f", files={"handler.py": HANDLER, "requirements.txt": "tinyx\n"})
    assert gateway.client.invoke("f") == "from a"
    made = environments(gateway)
    gateway.stop()
    gateway.environment["PIP_TIMEOUT"] = "77"
    gateway.start()
    assert gateway.client.invoke("f") == "from a" and environments(gateway) == made
    gateway.stop()
    gateway.environment["PIP_FIND_LINKS"] = str(tmp_path / "b")
    gateway.start()
    assert gateway.client.invoke("f") == "from b"
    gateway.stop()


def test_another_build_of_the_same_python_is_another_environment(own_gateway, tmp_path):
    """The path and the version stay, as when a distribution's package is replaced; extensions may not fit any more."""
    gateway = own_gateway()
    wheel(tmp_path / "wheels", "x")
    files = {"handler.py": HANDLER, "requirements.txt": f"--no-index\n--find-links {tmp_path / 'wheels'}\ntinyx\n"}
    gateway.deploy("f", files=files)
    made = environments(gateway)
    answers = gateway.data / "environments/interpreters"
    known = answers.read_text()
    gateway.stop()
    # As if the interpreter had been another build when it was asked.
    assert "bytes of" in known
    answers.write_text(known.replace(" bytes of ", "1 bytes of "))
    gateway.start()
    assert gateway.client.invoke("f") == "x"
    assert len(environments(gateway)) == 2 and environments(gateway) > made
    gateway.stop()


def test_environments_that_nobody_needs_go(own_gateway, tmp_path):
    gateway = own_gateway()
    for name in ("kept", "idle", "gone"):
        wheel(tmp_path / name, name)
        config = {"replicas": {"min": 0, "max": 1}} if name == "idle" else None
        gateway.deploy(name, config=config, files={
            "handler.py": HANDLER, "requirements.txt": f"--no-index\n--find-links {tmp_path / name}\ntinyx\n"})
    made = environments(gateway)
    gateway.delete("gone")
    # Versions that are kept count, also those that get no calls.
    gateway.deploy("kept", None, "--update", files={"handler.py": "def Handler(req): return 'new'\n"})
    gateway.stop()
    assert environments(gateway) == made and len(made) == 3
    # They were last asked for long ago.
    long_ago = time.time() - 40 * 86400
    for name in made:
        os.utime(gateway.data / "environments" / name / "dcf-used", (long_ago, long_ago))
    gateway.start()
    wait_until(lambda: len(environments(gateway)) == 2, 20, "the environment of the deleted function gone")
    assert gateway.client.invoke("kept@1") == "kept" and gateway.client.invoke("idle") == "idle"
    assert environments(gateway) < made
    gateway.stop()
    # With another limit it does not take 30 days.
    gateway.flags = ("--limit", "environments-unused=2s")
    gateway.start()
    gateway.delete("idle")
    wait_until(lambda: len(environments(gateway)) == 1, 30, "the environment of the idle one gone, too")
    assert gateway.client.invoke("kept@1") == "kept"
    gateway.stop()
