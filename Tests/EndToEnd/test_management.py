"""List, deploy, update, scale, delete and the rest, as clients of the original and of ours call them."""
import hashlib

import grpc
import pytest

from support.bundles import bundle
from support.client import Refused, pb, refused
from support.waiting import wait_until

#: What comes as a bundle is a process.
pytestmark = pytest.mark.process

ECHO = b"class Handler:\n    def __call__(self, req):\n        return req.input\n"


def saying(word):
    return bundle({"handler.py": f"def Handler(req):\n    return {word!r}\n"})


def create(client, method, name, data=None, **fields):
    digest = client.upload(data)[0] if data else fields.pop("Bundle", "")
    fields.setdefault("Config", "runtime: python3\n")
    return client.call(method, pb.CreateFunctionRequest(Service=name, Bundle=digest, **fields), 120).Msg


def test_upload_is_known_the_second_time(client):
    data = bundle({"handler.py": ECHO, "weights.bin": b"\x00" * 9_000_000})
    digest, reply = client.upload(data)
    assert digest == hashlib.sha256(data).hexdigest() and reply.Stored and not reply.Known
    # Only the name is sent, and it is enough.
    again = client.stub.Upload(iter([pb.UploadPiece(Sha256=digest, Size=len(data))]), timeout=30)
    assert again.Known


def test_an_upload_whose_sum_is_wrong(client):
    data = bundle({"handler.py": ECHO + b"# other\n"})
    error = refused(client.upload, data, digest="0" * 64)
    assert error.name in ("INVALID_ARGUMENT", "DATA_LOSS", "FAILED_PRECONDITION") and error.executed == "no"


@pytest.mark.parametrize("digest", ["", "xyz", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 10_000])
def test_an_upload_whose_name_is_no_sum(client, digest):
    error = refused(lambda: client.upload(b"x", digest=digest or None) if digest else _nameless(client))
    assert (error.name, error.executed) == ("INVALID_ARGUMENT", "no")


def _nameless(client):
    try:
        return client.stub.Upload(iter([pb.UploadPiece(Data=b"x")]), timeout=10)
    except grpc.RpcError as error:
        raise Refused(error) from None


def test_an_upload_that_is_shorter_or_longer_than_it_said(client):
    data = bundle({"handler.py": ECHO + b"# length\n"})
    for size in (len(data) + 1, len(data) - 1):
        assert refused(client.upload, data, size=size).name in ("INVALID_ARGUMENT", "DATA_LOSS")


def test_an_upload_that_is_broken_off_leaves_nothing(gateway, client):
    def pieces():
        yield pb.UploadPiece(Sha256="1" * 64, Size=1 << 30, Data=b"x" * (1 << 20))
        raise RuntimeError("the client is gone")

    with pytest.raises((grpc.RpcError, RuntimeError)):
        client.stub.Upload(pieces(), timeout=10)
    uploads = gateway.data / "uploads"
    wait_until(lambda: not uploads.exists() or not list(uploads.iterdir()), 10, "no half upload left")


def test_deploy_watch_tells_what_happens_and_ends_with_the_function(client):
    events = client.deploy_watch("watched", bundle({"handler.py": ECHO}))
    kinds = [e.WhichOneof("Event") for e in events]
    assert kinds[-1] == "Done" and "Progress" in kinds
    done = events[-1].Done
    assert (done.Name, done.Status, done.Replicas, done.AvailableReplicas) == ("watched", "Ready", 1, 1)
    assert client.invoke("watched", b"hello") == "hello"


def test_deploy_answers_at_the_end(client):
    create(client, "Deploy", "plain-deploy", bundle({"handler.py": ECHO}))
    assert client.invoke("plain-deploy", b"hello") == "hello"


def test_deploy_of_a_name_that_is_taken(client):
    create(client, "Deploy", "taken", saying("one"))
    error = refused(create, client, "Deploy", "taken", saying("two"))
    assert (error.name, error.executed) == ("ALREADY_EXISTS", "no")
    assert client.invoke("taken") == "one"


def test_update_switches(client):
    create(client, "Deploy", "switched", saying("one"))
    before = client.meta("switched")
    create(client, "Update", "switched", saying("two"))
    after = client.meta("switched")
    assert client.invoke("switched") == "two"
    assert after.Version == before.Version + 1


def test_replace_takes_the_old_away_first(client):
    create(client, "Deploy", "replaced", saying("one"))
    create(client, "Deploy", "replaced", saying("two"), IfExists=2)
    assert client.invoke("replaced") == "two"


def test_update_of_a_function_that_is_not_there(client):
    error = refused(create, client, "Update", "absent", saying("one"))
    assert (error.name, error.executed) == ("NOT_FOUND", "no")


def test_an_update_that_does_not_start_leaves_the_old_one_working(client):
    create(client, "Deploy", "kept", saying("one"))
    broken = bundle({"handler.py": "raise ValueError('broken version')\n"})
    error = refused(create, client, "Update", "kept", broken)
    assert (error.name, error.executed) == ("FAILED_PRECONDITION", "no")
    assert "broken version" in error.message
    assert client.invoke("kept") == "one"
    assert client.meta("kept").Status == "Ready"


def test_deploy_without_a_bundle(client):
    for digest in ("", "2" * 64):
        error = refused(create, client, "Deploy", "nothing", Bundle=digest)
        assert (error.name in ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED")
                and error.executed == "no")
    assert "nothing" not in client.names()


@pytest.mark.parametrize("name", ["", "Upper", "9lives", "a_b", "a/../b", "x" * 64, "con\x00trol", "a" * 10_000, "-a"])
def test_deploy_of_a_bad_name(gateway, client, name):
    before = sorted(p.name for p in (gateway.data / "functions").iterdir())
    error = refused(create, client, "Deploy", name, bundle({"handler.py": ECHO}))
    assert (error.name, error.executed) == ("INVALID_ARGUMENT", "no")
    assert sorted(p.name for p in (gateway.data / "functions").iterdir()) == before


@pytest.mark.parametrize(
    "config, named",
    [
        ("concurrency: 2\nbatch: {max_size: 4}\n", "concurrency"),
        ("build_args: [PYTHON_VERSION=3.12]\n", "build_args"),
        ("build_packages: [curl]\n", "build_packages"),
        ("skip_build: true\n", "skip_build"),
    ])
def test_what_is_not_supported_yet_is_refused_by_its_key(client, config, named):
    error = refused(create, client, "Deploy", "early", bundle({"handler.py": ECHO}),
                    Config="runtime: python3\n" + config)
    assert error.name in ("INVALID_ARGUMENT", "UNIMPLEMENTED", "FAILED_PRECONDITION") and error.executed == "no"
    assert named.split(".")[-1] in error.message or named in error.message
    assert "early" not in client.names()


@pytest.mark.parametrize(
    "config, named",
    [
        ("runtime: python3\ntimeuot: {call: 1s}\n", "timeout"),
        ("runtime: cobol\n", "cobol"),
        ("runtime: python3\ntimeout: {call: fast}\n", "timeout.call"),
        ("runtime: python3\nreplicas: {min: -1, max: -1}\n", "replicas"),
        ("runtime: python3\nlimits: {memory: lots}\n", "memory"),
        ("runtime: [\n", ""),
        ("just words", ""),
        ("runtime: &a [*a]\n", ""),
    ])
def test_a_config_that_is_wrong(client, config, named):
    error = refused(create, client, "Deploy", "misconfigured", bundle({"handler.py": ECHO}), Config=config)
    assert (error.name, error.executed) == ("INVALID_ARGUMENT", "no")
    assert named in error.message
    assert "misconfigured" not in client.names()


def test_list_and_meta(client):
    create(client, "Deploy", "listed", bundle({"handler.py": ECHO}), Image="registry.example/listed:1",
           Labels={"team": "vision"}, Annotations={"note": "kept"},
           Config="runtime: python3\ndesc: Echoes\nmaintainer: Kim\n")
    for _ in range(3):
        client.invoke("listed", b"x")
    seen = wait_until(lambda: (f := client.meta("listed")).InvocationCount == 3 and f, 5, "3 invocations")
    assert (seen.Name, seen.Status, seen.Replicas, seen.AvailableReplicas) == ("listed", "Ready", 1, 1)
    assert (seen.Description, seen.Maintainer) == ("Echoes", "Kim")
    assert seen.Image == "registry.example/listed:1"
    assert dict(seen.Labels) == {"team": "vision"} and dict(seen.Annotations) == {"note": "kept"}
    assert len(seen.Instances) == 1 and seen.Instances[0].Pid > 0 and seen.Instances[0].State == "Ready"
    names = client.names()
    assert "listed" in names and names == sorted(names)


def test_meta_of_an_unknown_function(client):
    for method in ("GetMeta", "GetLog", "Restart"):
        error = refused(client.call, method, pb.FunctionRequest(FunctionName="nobody"))
        assert (error.name, error.executed) == ("NOT_FOUND", "no"), method
    error = refused(client.call, "Delete", pb.DeleteFunctionRequest(FunctionName="nobody"))
    assert (error.name, error.executed) == ("NOT_FOUND", "no")
    error = refused(client.call, "ReplicaUpdate", pb.ScaleServiceRequest(ServiceName="nobody", Replicas=1))
    assert (error.name, error.executed) == ("NOT_FOUND", "no")


def test_scale_up_and_down(gateway, client):
    create(client, "Deploy", "scaled", bundle({"handler.py": ECHO}))
    first = gateway.replicas("scaled")
    client.call("ReplicaUpdate", pb.ScaleServiceRequest(ServiceName="scaled", Replicas=3))
    seen = wait_until(lambda: (f := client.meta("scaled")).AvailableReplicas == 3 and f, 20, "3 replicas")
    assert seen.Replicas == 3 and set(first) < {r.Pid for r in seen.Instances}
    client.call("ReplicaUpdate", pb.ScaleServiceRequest(ServiceName="scaled", Replicas=1))
    wait_until(lambda: client.meta("scaled").AvailableReplicas == 1, 20, "1 replica")
    assert client.invoke("scaled", b"x") == "x"
    error = refused(client.call, "ReplicaUpdate", pb.ScaleServiceRequest(ServiceName="scaled", Replicas=1 << 40))
    assert (error.name, error.executed) == ("INVALID_ARGUMENT", "no")


def test_replicas_from_the_config(client):
    create(client, "Deploy", "pair", saying("pid"), Config="runtime: python3\nreplicas: {min: 2, max: 2}\n")
    assert client.meta("pair").AvailableReplicas == 2


def test_restart_starts_anew(gateway, client):
    create(client, "Deploy", "restarted", bundle({"handler.py": ECHO}))
    before = gateway.replicas("restarted")
    client.call("Restart", pb.FunctionRequest(FunctionName="restarted"), 60)
    gateway.wait_ready("restarted")
    assert set(gateway.replicas("restarted")).isdisjoint(before)
    assert client.invoke("restarted", b"x") == "x"


def test_delete(gateway, client):
    create(client, "Deploy", "deleted", bundle({"handler.py": ECHO}))
    pid = gateway.replicas("deleted")[0]
    client.call("Delete", pb.DeleteFunctionRequest(FunctionName="deleted"))
    assert "deleted" not in client.names()
    assert refused(client.invoke, "deleted", b"x").name == "NOT_FOUND"
    wait_until(lambda: pid not in gateway.below(), 10, "the replica gone")
    wait_until(lambda: not (gateway.data / "functions/deleted").exists(), 10, "its folder gone")


def test_info_and_health_check(client):
    assert "dcf" in client.call("Info", pb.Empty()).Msg.lower()
    assert client.call("HealthCheck", pb.Empty()).Msg


def test_two_changes_of_one_function_at_once(client):
    create(client, "Deploy", "busy", saying("one"))
    slow = bundle({"handler.py": "import time\ntime.sleep(2)\ndef Handler(req):\n    return 'two'\n"})
    digest = client.upload(slow)[0]
    request = pb.CreateFunctionRequest(Service="busy", Bundle=digest, Config="runtime: python3\n")
    first = client.stub.Update.future(request, timeout=60)
    wait_until(lambda: refused_or_none(client, saying("three")) == "ABORTED", 5, "ABORTED while another change runs")
    first.result()
    assert client.invoke("busy") == "two"


def refused_or_none(client, data):
    try:
        client.call("ReplicaUpdate", pb.ScaleServiceRequest(ServiceName="busy", Replicas=1))
    except Refused as error:
        return error.name
    return None
