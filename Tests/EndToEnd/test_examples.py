"""The examples, exactly as they lie in examples/."""
import base64
import json
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import time
import zipfile

import pytest

from support import processes

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "dcf-test"


@pytest.fixture(scope="module")
def page():
    """A scanned page out of the package scikit-image: the picture is not ours to keep here."""
    path = CACHE / "page.png"
    if not path.exists():
        folder = CACHE / "scikit-image"
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(folder),
             "scikit-image"], check=True)
        with zipfile.ZipFile(next(folder.glob("scikit_image-*.whl"))) as wheel:
            path.write_bytes(wheel.read("skimage/data/page.png"))
        shutil.rmtree(folder)
    return path.read_bytes()


def create(gateway, name):
    done = gateway.dcf("function", "create", "-f", str(EXAMPLES / name / "config.yaml"), timeout=400)
    gateway.deployed.add(name)
    return done


def call(gateway, name, data):
    return gateway.dcf("function", "call", name, input=data).stdout


def test_echo(gateway):
    create(gateway, "echo")
    assert call(gateway, "echo", b"hello\n") == b"hello\n"


def test_json(gateway):
    create(gateway, "json")
    assert json.loads(call(gateway, "json", b'{"a": "0", "b": "1"}')) == {"a": "0", "b": "1"}


def test_pickle(gateway):
    create(gateway, "pickle")
    assert json.loads(call(gateway, "pickle", pickle.dumps({"a": "0", "b": "1"}))) == {"a": "0", "b": "1"}


@pytest.mark.parametrize("name, reply", [("json", {"a": "0", "b": "1"}), ("pickle", {"a": "0", "b": "1"})])
def test_the_clients_beside_them(gateway, name, reply):
    python = os.environ.get("DCF_TEST_DCFGRPC") or pytest.skip("DCF_TEST_DCFGRPC does not name a Python with dcfgrpc")
    create(gateway, name) if name not in gateway.deployed else None
    done = subprocess.run(
        [python, str(EXAMPLES / name / "client.py"), gateway.address], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == reply


@pytest.mark.timeout(600)
def test_base64_image(gateway, page):
    create(gateway, "base64-image")
    assert call(gateway, "base64-image", base64.encodebytes(page)) == b"Image size : (384, 191)"


@pytest.mark.timeout(600)
def test_ocr_reads_the_page(gateway, page):
    if sys.version_info >= (3, 13):
        pytest.skip("the model's package has no wheels for Python 3.13 or later")
    create(gateway, "ocr")
    lines = json.loads(call(gateway, "ocr", base64.encodebytes(page)))
    text = " ".join(line["class"] for line in lines).replace(" ", "")
    for words in ("Region-based", "markersofthecoins", "background", "histogram"):
        assert words in text
    for line in lines:
        xmin, ymin, xmax, ymax = (int(line[k]) for k in ("xmin", "ymin", "xmax", "ymax"))
        assert 0 <= xmin < xmax <= 384 and 0 <= ymin < ymax <= 191
        assert 0.5 < float(line["confidence"]) <= 1
    assert len({tuple(line.values()) for line in lines}) == len(lines), "each box has an object of its own"
    # Constructed once: the second call is answered by the same process, and loads nothing.
    pid = gateway.replicas("ocr")
    began = time.monotonic()
    assert json.loads(call(gateway, "ocr", base64.encodebytes(page))) == lines
    assert gateway.replicas("ocr") == pid and processes.exists(pid[0]) and time.monotonic() - began < 30
    assert gateway.client.log("ocr").count("model loaded") == 1


def test_every_example_has_its_readme_and_config():
    for folder in EXAMPLES.iterdir():
        assert {"handler.py", "config.yaml", "README.md"} <= {p.name for p in folder.iterdir()}
