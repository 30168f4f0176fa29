"""The examples, exactly as they lie in examples/."""
import array
import base64
import io
import json
import os
import pathlib
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile

import pytest

from conftest import skipping
from support import processes
from support.client import outcome
from support.gateway import BIN

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "dcf-test"


def picture(name):
    """A picture out of the package scikit-image: it is not ours to keep here."""
    path = CACHE / name
    if not path.exists():
        folder = CACHE / "scikit-image"
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(folder),
             "scikit-image"], check=True)
        with zipfile.ZipFile(next(folder.glob("scikit_image-*.whl"))) as wheel:
            for one in ("page.png", "astronaut.png", "no_time_for_that_tiny.gif"):
                (CACHE / one).write_bytes(wheel.read(f"skimage/data/{one}"))
        shutil.rmtree(folder)
    return path


@pytest.fixture(scope="module")
def page():
    """A scanned page."""
    return picture("page.png").read_bytes()


@pytest.fixture(scope="module")
def speech():
    """Somebody who speaks, out of the package webrtcvad, as 16-bit samples, 16,000 a second."""
    path = CACHE / "speech.raw"
    if not path.exists():
        folder = CACHE / "webrtcvad"
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(folder),
             "webrtcvad==2.0.10"], check=True)
        with tarfile.open(next(folder.glob("webrtcvad-*.tar.gz"))) as package:
            path.write_bytes(package.extractfile("webrtcvad-2.0.10/test-audio.raw").read())
        shutil.rmtree(folder)
    slow = array.array("h", path.read_bytes())
    # It has 8,000 a second: one between each two.
    fast = array.array("h")
    for sample, following in zip(slow, [*slow[1:], 0], strict=True):
        fast.extend((sample, (sample + following) // 2))
    return fast.tobytes()


def create(gateway, name):
    if gateway.docker:
        # The base of the template, which nothing is added to.
        skipping(gateway.docker.python, "3.12")
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


@pytest.mark.process
@pytest.mark.timeout(600)
def test_base64_image(gateway, page):
    create(gateway, "base64-image")
    assert call(gateway, "base64-image", base64.encodebytes(page)) == b"Image size : (384, 191)"


@pytest.mark.process
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


@pytest.mark.process
@pytest.mark.timeout(400)
def test_the_demo(tmp_path):
    """The first command of the README: it reads the page, says how long that took, and leaves nothing."""
    done = subprocess.run([ROOT / "scripts/demo.sh"], capture_output=True, text=True,
                          env={**os.environ, "DCF_BIN": str(BIN), "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.rstrip().splitlines()
    assert lines[0] == "[", f"{done.stdout[:2000]}\n{done.stderr[-3000:]}"
    assert len(json.loads("\n".join(lines[:-4]))) > 2
    for line in lines[-4:]:
        assert re.fullmatch(r"\w.{35} [0-9.]+ m?s", line), lines[-4:]
    # The library of the model leaves a file of its own where temporary files go.
    assert [path for path in tmp_path.iterdir() if path.name != ".ses"] == []


@pytest.mark.process
@pytest.mark.timeout(900)
def test_batching_finds_speech(gateway, speech):
    """One at a time and many at once it says the same, and a bad one among them harms only itself."""
    create(gateway, "batching")
    alone = json.loads(call(gateway, "batching", speech))
    assert alone["seconds"] == round(len(speech) / 32_000, 3) and len(alone["speech"]) == -(-len(speech) // 1024)
    assert max(alone["speech"]) > 0.8, alone
    silence = json.loads(call(gateway, "batching", bytes(32_000)))
    assert silence["seconds"] == 1 and max(silence["speech"]) < 0.3, silence
    kinds = [(speech, alone), (bytes(32_000), silence), (b"odd", None)]
    begun = [(gateway.client.begin("batching", kinds[n % 3][0]), kinds[n % 3][1]) for n in range(60)]
    for one, expected in begun:
        got = outcome(one)
        if expected is None:
            assert ((got.name, got.executed) == ("UNKNOWN", "yes")
                    and "ValueError: 3 bytes are not 16-bit samples" in got.message)
        else:
            seen = json.loads(got)
            assert seen["seconds"] == expected["seconds"] and len(seen["speech"]) == len(expected["speech"])
            assert all(abs(a - b) < 0.02 for a, b in zip(seen["speech"], expected["speech"], strict=True)), (
                "a neighbour changed the numbers")
    assert "torch" not in maps(gateway, "batching")


def maps(gateway, name):
    """What a replica has loaded."""
    return pathlib.Path(f"/proc/{gateway.replicas(name)[0]}/maps").read_text()


@pytest.mark.process
@pytest.mark.timeout(600)
def test_bytes_tells_files_apart(gateway, page):
    create(gateway, "bytes")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as out:
        out.writestr("a.txt", "some words")
    for label, data in (
        ("png", page), ("elf", pathlib.Path(os.path.realpath("/bin/true")).read_bytes()), ("zip", packed.getvalue()),
        ("python", pathlib.Path(__file__).read_bytes()), ("pickle", pickle.dumps({"a": list(range(1000))})),
    ):
        seen = json.loads(call(gateway, "bytes", data))
        assert seen["label"] == label, f"{label}: {seen}"
        assert seen["description"] and "/" in seen["mime_type"] and 0 < seen["score"] <= 1
    assert json.loads(call(gateway, "bytes", b""))["label"] == "empty"


@pytest.mark.process
@pytest.mark.timeout(600)
def test_stream_and_its_client(gateway, tmp_path):
    create(gateway, "stream")
    files = [picture("no_time_for_that_tiny.gif"), picture("astronaut.png")]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "stream/client.py"), gateway.address, str(tmp_path / "frames"),
         *map(str, files)],
        capture_output=True, text=True, timeout=120,
        env={k: v for k, v in os.environ.items() if "proxy" not in k.lower()})
    assert done.returncode == 0, done.stderr
    frames = sorted(p.name for p in (tmp_path / "frames").iterdir())
    assert frames == [*(f"0-{n:03}.jpg" for n in range(1, 25)), "1-001.jpg"], frames
    written = [(tmp_path / "frames" / name).read_bytes() for name in frames]
    assert all(data[:3] == b"\xff\xd8\xff" and data[-2:] == b"\xff\xd9" for data in written), "each is one whole JPEG"
    assert len(set(written)) == len(written), "each frame has its own number in it"
    assert len(done.stdout.splitlines()) == 25
    # One picture is one piece: a whole JPEG on standard output.
    assert call(gateway, "stream", files[1].read_bytes()) == written[-1]
    (tmp_path / "words").write_text("no picture")
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "stream/client.py"), gateway.address, str(tmp_path / "none"),
         str(tmp_path / "words")],
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "INVALID_ARGUMENT: these 10 bytes are not a picture" in done.stderr, done.stderr


def test_chain(gateway):
    create(gateway, "chain")
    gateway.deployed.add("chain-words")
    assert json.loads(call(gateway, "chain", b"to be or\nnot to be\n")) == {"be": 2, "to": 2, "not": 1, "or": 1}
    assert call(gateway, "chain", b"") == b"{}"
    assert gateway.client.meta("chain-words").InvocationCount == 2


def test_every_example_has_its_readme_and_config():
    for folder in EXAMPLES.iterdir():
        assert {"handler.py", "config.yaml", "README.md"} <= {p.name for p in folder.iterdir()}
