"""The real client of the original, from PyPI, in a venv of its own."""
import json
import os
import pickle
import subprocess
import textwrap

import pytest

PYTHON = os.environ.get("DCF_TEST_DCFGRPC")


@pytest.fixture(scope="module", autouse=True)
def functions(gateway):
    if not PYTHON:
        pytest.skip("DCF_TEST_DCFGRPC does not name a Python that has dcfgrpc 0.1.3")
    gateway.deploy("echo")
    gateway.deploy("kinds")


def run(gateway, code):
    header = f"from dcfgrpc.api import dcf\nimport grpc, json, pickle\naddress = {gateway.address!r}\n"
    return subprocess.run(
        [PYTHON, "-c", header + textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}).stdout


def test_text(gateway):
    assert run(gateway, 'print(dcf(url=address, service="echo", arg=b"hello"))') == "hello\n"


def test_two_calls_of_one_script(gateway):
    assert run(gateway,
               'print([dcf(url=address, service="echo", arg=b"%d" % n) for n in range(3)])') == "['0', '1', '2']\n"


def test_json_as_seed_000_sends_it(gateway):
    gateway.deploy("jsons", files={"handler.py": """
import json
class Handler:
    def __init__(self):
        pass
    def __call__(self, req):
        return json.dumps(json.loads(req.input.decode()))
"""})
    seen = run(gateway, 'print(dcf(url=address, service="jsons", arg=json.dumps({"a": "0", "b": "1"}).encode()))')
    assert json.loads(seen) == {"a": "0", "b": "1"}


def test_pickle_as_seed_000_sends_it(gateway):
    gateway.deploy("pickles", files={"handler.py": """
import json, pickle
class Handler:
    def __call__(self, req):
        return json.dumps(pickle.loads(req.input))
"""})
    assert pickle.dumps({})
    seen = run(gateway, 'print(dcf(url=address, service="pickles", arg=pickle.dumps({"a": "0"})))')
    assert json.loads(seen) == {"a": "0"}


def test_a_reply_of_almost_4_mib(gateway):
    assert run(gateway,
               'print(len(dcf(url=address, service="echo", arg=b"x" * (4 * 1024 * 1024 - 100))))') == "4194204\n"


def test_a_status_is_raised(gateway):
    code = """
    try:
        dcf(url=address, service="{}", arg=b"{}")
    except grpc.RpcError as error:
        print(error.code().name, dict(error.trailing_metadata()).get("dcf-executed"), error.details())
    """
    assert run(gateway, code.format("nobody", "x")).startswith("NOT_FOUND no ")
    assert run(gateway, code.format("kinds", "error oh")).startswith("UNKNOWN yes ValueError: oh")
    assert run(gateway, code.format("kinds", "binary")).startswith("INTERNAL yes ")
