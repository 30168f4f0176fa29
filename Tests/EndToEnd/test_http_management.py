"""/api/v1: what `dcf` does, over HTTP."""
import hashlib
import json
import threading

import jsonschema
import openapi_spec_validator
import pytest

from support import bundles
from support.gateway import Gateway
from support.http1 import Connection, call
from support.waiting import wait_until

FUNCTIONS = "/api/v1/functions"
LINES = {"Accept": "application/x-ndjson"}

#: What comes as a bundle is a process.
pytestmark = pytest.mark.process


def ask(port, method, path, message=None, **headers):
    with Connection(port) as connection:
        body = None if message is None else json.dumps(message).encode()
        return connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})


def bundle(text):
    return bundles.bundle({"handler.py": text.encode()})


def upload(port, data, digest=None, **headers):
    digest = digest or hashlib.sha256(data).hexdigest()
    with Connection(port) as connection:
        return digest, connection.request("PUT", f"/api/v1/bundles/{digest}", data, headers)


ECHO = """
class Handler:
    def __call__(self, req):
        print('got', len(req.input), flush=True)
        return {0!r}
"""


@pytest.fixture
def port(gateway):
    return gateway.port


@pytest.fixture
def deployed(gateway, port):
    """A function with two versions."""
    for text in ("one", "two"):
        digest, _ = upload(port, bundle(ECHO.format(text)))
        answer = ask(port, "POST", FUNCTIONS, {
            "Service": "made", "Bundle": digest, "Config": "runtime: python3", "IfExists": "UPDATE"})
        assert answer.status == 200, answer
    gateway.deployed.add("made")
    yield "made"
    ask(port, "DELETE", f"{FUNCTIONS}/made")


def test_a_bundle_is_sent_once(port):
    data = bundle(ECHO.format("bundle"))
    digest, answer = upload(port, data)
    assert answer.status == 201 and answer.json() == {"Stored": True}
    _, answer = upload(port, data)
    assert answer.status == 200 and answer.json() == {"Known": True}


def test_bundles_that_are_refused(port):
    data = bundle(ECHO.format("refused"))
    _, answer = upload(port, data, "0" * 64)
    assert answer.status == 400 and answer.json()["error"]["code"] == "INVALID_ARGUMENT"
    _, answer = upload(port, data, "nonsense")
    assert answer.status == 400
    with Connection(port) as connection:
        connection.send(connection.head("PUT", f"/api/v1/bundles/{'1' * 64}", {"Transfer-Encoding": "chunked"})
                        + b"0\r\n\r\n")
        assert connection.answer().status == 411


def test_a_bundle_that_breaks_off_is_not_there(port):
    data = bundle(ECHO.format("broken"))
    digest = hashlib.sha256(data).hexdigest()
    with Connection(port) as connection:
        connection.send(connection.head("PUT", f"/api/v1/bundles/{digest}", {"Content-Length": str(len(data))})
                        + data[:50])
    answer = ask(port, "POST", FUNCTIONS, {"Service": "broken", "Bundle": digest, "Config": "runtime: python3"})
    assert answer.status in (400, 404, 409, 500) and digest[:12] in answer.text


def test_a_life(gateway, port, deployed):
    assert call(port, "/function/made", b"x").text == "two"
    names = [each["Name"] for each in ask(port, "GET", FUNCTIONS).json()["Functions"]]
    assert "made" in names
    found = ask(port, "GET", f"{FUNCTIONS}/made").json()
    assert (found["Name"], found["Status"], found["Version"]) == ("made", "Ready", 2)
    assert found["Instances"][0]["Pid"] > 0 and isinstance(found["Replicas"], int)
    versions = ask(port, "GET", f"{FUNCTIONS}/made/versions").json()["Versions"]
    assert [v["Version"] for v in versions] == [1, 2]
    answer = ask(port, "PUT", f"{FUNCTIONS}/made/replicas", {"Replicas": 2})
    assert answer.status == 200 and answer.json() == {"Msg": 'function "made" has 2 replicas'}
    wait_until(lambda: ask(port, "GET", f"{FUNCTIONS}/made").json()["AvailableReplicas"] == 2, 20, "two replicas")
    answer = ask(port, "PUT", f"{FUNCTIONS}/made/traffic", {"Traffic": [{"Version": 1, "Weight": 100}]})
    assert answer.status == 200 and call(port, "/function/made", b"x").text == "one"
    assert ask(port, "POST", f"{FUNCTIONS}/made/rollback", {"Version": 2}).status == 200
    assert call(port, "/function/made", b"x").text == "two"
    assert ask(port, "POST", f"{FUNCTIONS}/made/restart").status == 200
    assert call(port, "/function/made", b"x").text == "two"
    assert ask(port, "GET", "/api/v1/info").json()["Msg"].startswith("dcf-gateway ")
    assert ask(port, "DELETE", f"{FUNCTIONS}/made").json() == {"Msg": 'function "made" is deleted'}
    assert ask(port, "GET", f"{FUNCTIONS}/made").status == 404


def test_the_events_of_a_deploy(port, deployed):
    digest, _ = upload(port, bundle(ECHO.format("three")))
    answer = ask(port, "POST", FUNCTIONS, {
        "Service": "made", "Bundle": digest, "Config": "runtime: python3", "IfExists": "UPDATE"}, **LINES)
    assert answer.status == 200 and answer.headers["content-type"] == "application/x-ndjson" and answer.whole
    events = [json.loads(line) for line in answer.text.splitlines()]
    assert any("Progress" in event for event in events)
    assert events[-1]["Done"]["Version"] == 3


def test_a_deploy_that_fails(port, deployed):
    raises = bundle("class Handler:\n    def __init__(self):\n        raise ValueError('no')\n    __call__ = print\n")

    def deploy(existing="UPDATE", **headers):
        # The bundle of a deploy that failed is removed.
        digest, _ = upload(port, raises)
        return ask(port, "POST", FUNCTIONS, {
            "Service": "made", "Bundle": digest, "Config": "runtime: python3", "IfExists": existing}, **headers)

    answer = deploy()
    assert answer.status == 500 and "ValueError: no" in answer.json()["error"]["message"]
    answer = deploy(**LINES)
    events = [json.loads(line) for line in answer.text.splitlines()]
    assert any("ValueError: no" in event.get("Traceback", "") for event in events)
    assert "ValueError: no" in events[-1]["error"]["message"] and answer.whole
    assert call(port, "/function/made", b"x").text == "two"
    # Before the first event a failure is a status.
    answer = deploy("REFUSE", **LINES)
    assert answer.status == 409 and answer.json()["error"]["code"] == "ALREADY_EXISTS"


def test_an_update_needs_the_function(port):
    digest, _ = upload(port, bundle(ECHO.format("x")))
    answer = ask(port, "PUT", f"{FUNCTIONS}/nobody", {"Bundle": digest, "Config": "runtime: python3"})
    assert answer.status == 404 and answer.headers["dcf-executed"] == "no"


def test_a_log(port, deployed):
    for n in range(3):
        call(port, "/function/made", b"x" * n, X_Request_Id=f"call-{n}")
    path = f"{FUNCTIONS}/made/log"
    wait_until(lambda: "got 2" in ask(port, "GET", path).text, 10, "it is written")
    records = [json.loads(line) for line in ask(port, "GET", path).text.splitlines()]
    last = records[-1]
    assert last["text"] == "got 2" and last["stream"] == "stdout" and last["request"] == "call-2"
    assert last["time"].endswith("Z") and last["replica"] >= 1
    assert [json.loads(line)["text"] for line in ask(port, "GET", path + "?tail=1").text.splitlines()] == ["got 2"]
    found = ask(port, "GET", path + "?request=call-1").text.splitlines()
    assert [json.loads(line)["text"] for line in found] == ["got 1"]
    for wrong in ("tail=x", "follow=maybe", "lines=3"):
        assert ask(port, "GET", f"{path}?{wrong}").status == 400


def test_a_log_that_is_followed(port, deployed):
    with Connection(port) as connection:
        connection.send(connection.head("GET", f"{FUNCTIONS}/made/log?tail=1&follow=true"))
        assert connection.begin()[0] == 200
        threading.Timer(0.3, call, (port, "/function/made", b"followed")).start()
        text = b""
        while b"got 8" not in text:
            chunk = connection.chunk()
            assert chunk
            text += chunk


def test_a_log_that_is_followed_ends_with_the_gateway(tmp_path_factory):
    with Gateway(tmp_path_factory.mktemp("gateway")) as own:
        own.deploy("echo")
        with Connection(own.port) as connection:
            connection.send(connection.head("GET", f"{FUNCTIONS}/echo/log?follow=true"))
            assert connection.begin()[0] == 200
            own.process.terminate()
            assert own.process.wait(10) == 0


@pytest.mark.parametrize("method, path, status", [
    ("GET", f"{FUNCTIONS}/nobody", 404), ("DELETE", f"{FUNCTIONS}/nobody", 404), ("PATCH", FUNCTIONS, 405),
    ("GET", f"{FUNCTIONS}/nobody/versions", 404), ("POST", f"{FUNCTIONS}/nobody/restart", 404),
    ("GET", f"{FUNCTIONS}/nobody/log", 404), ("GET", "/api/v1/nothing", 404),
    ("GET", f"{FUNCTIONS}/nobody/nothing", 404),
])
def test_what_is_not_there(port, method, path, status):
    assert ask(port, method, path).status == status


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"Replicas": "many"}', b'{"Nonsense": 1}', b"\xff"])
def test_messages_that_do_not_parse(port, deployed, body):
    with Connection(port) as connection:
        answer = connection.request("PUT", f"{FUNCTIONS}/made/replicas", body)
        assert answer.status == 400 and "pb.ScaleServiceRequest" in answer.json()["error"]["message"]


def test_pages_of_others_change_nothing(port, deployed):
    answer = ask(port, "DELETE", f"{FUNCTIONS}/made", Origin="http://evil.example")
    assert answer.status == 403 and ask(port, "GET", f"{FUNCTIONS}/made").status == 200


# What describes it.


def test_the_description_is_valid(port, deployed):
    document = ask(port, "GET", "/openapi.json").json()
    openapi_spec_validator.validate(document)
    assert document["openapi"] == "3.1.0" and "/function/made" in document["paths"]
    assert document["paths"]["/function/made"]["post"]["summary"] == "Calls the function made"
    schemas = document["components"]["schemas"]
    assert schemas["Function"]["properties"]["Instances"]["items"] == {"$ref": "#/components/schemas/Replica"}
    assert schemas["Existing"]["enum"] == ["REFUSE", "UPDATE", "REPLACE"]


def test_what_is_described_is_there(port, deployed):
    paths = ask(port, "GET", "/openapi.json").json()["paths"]
    assert len(paths) > 10
    for path, operations in paths.items():
        url = path.replace("{name}", "nobody").replace("{sha256}", "0" * 64)
        # Of a function that does not exist nothing can be shown, and everything else is refused with words.
        for method in {"get", "put", "post", "delete"} & set(operations):
            answer = ask(port, method.upper(), url, {})
            assert answer.status != 405 and "there is nothing at" not in answer.text, f"{method} {path}: {answer}"
        answer = ask(port, "PATCH", url)
        if not path.startswith("/function/"):
            allowed = {word.lower() for word in answer.headers["allow"].split(", ")} - {"head"}
            assert answer.status == 405 and allowed == {"get", "put", "post", "delete"} & set(operations), path


def test_messages_are_described(port, deployed):
    """What the gateway sends has the schema that it says."""
    document = ask(port, "GET", "/openapi.json").json()
    for path, name in [(FUNCTIONS, "Functions"), (f"{FUNCTIONS}/made", "Function"),
                       (f"{FUNCTIONS}/made/versions", "FunctionVersions"), ("/api/v1/info", "Message")]:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.validate(ask(port, "GET", path).json(), schema)
    schema = {"$ref": "#/components/schemas/Failure", "components": document["components"]}
    jsonschema.validate(ask(port, "GET", f"{FUNCTIONS}/nobody").json(), schema)


def test_the_page_fetches_nothing_from_elsewhere(port):
    answer = ask(port, "GET", "/docs")
    assert answer.status == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "://" not in answer.text and 'src="' not in answer.text
