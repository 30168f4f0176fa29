"""New versions beside the old, and back: no call is lost, and nothing broken ever takes over."""
import collections
import json
import re
import threading

import pytest

from support.background import background
from support.client import outcome, pb, refused
from support.processes import exists
from support.waiting import wait_until


class Life:
    """A function of functions/life, and its journal."""

    def __init__(self, gateway, folder, name="life"):
        self.gateway, self.name, self.path = gateway, name, folder / "journal"
        self.path.touch()
        self.path.chmod(0o666)

    def deploy(self, number, *flags, files=None, config=None, check=True):
        config = config or {}
        return self.gateway.deploy(
            self.name, "life", *flags, files={"number.txt": str(number), **(files or {})}, check=check,
            config={**config, "parameters": {"journal": str(self.path), **config.get("parameters", {})}})

    def deploy_all(self, *numbers):
        """One version after another."""
        for number in numbers:
            self.deploy(number, *([] if number == numbers[0] else ["--update"]))

    @property
    def journal(self):
        return [line.split() for line in self.path.read_text().splitlines()]

    def seen(self):
        return self.gateway.client.invoke(self.name)


@pytest.fixture
def life(gateway, tmp_path):
    made = Life(gateway, tmp_path)
    yield made
    if made.name in gateway.deployed:
        gateway.delete(made.name)


def test_the_old_serves_until_the_new_is_ready(gateway, client, calls):
    gateway.deploy("held", config=calls.config())
    running = client.begin("held", b"in the old")
    old = calls.next()
    assert old.eval("req.info.version") == 1
    updating = background(
        gateway.deploy, "held", None, "--update", config=calls.config(parameters={"hold_constructor": True}))
    new = calls.next()
    assert new.kind == "construct" and new.pid != old.pid
    # While the new one is made, the old one does all the work.
    waits = client.begin("held", b"still the old")
    old.returns(b"1")
    second = calls.next()
    assert second.pid == old.pid and second.eval("req.info.version") == 1
    # Ready: from now on every call is the new one's; what the old one has, it finishes.
    new.returns()
    updating.result(30)
    assert client.meta("held").Version == 2
    for _ in range(5):
        call = client.begin("held", b"new")
        held = calls.next()
        assert held.eval("req.info.version") == 2 and held.pid == new.pid
        held.returns()
        assert outcome(call) == b"done"
    assert exists(old.pid), "the old one was stopped with a call in it"
    second.returns(b"2")
    assert [outcome(running), outcome(waits)] == [b"1", b"2"]
    wait_until(lambda: not exists(old.pid), 10, "the old one is stopped when it is done")


def test_what_waits_moves_to_the_new_version(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config())
    running = client.begin("held", b"in the old")
    old = calls.next()
    waiting = client.queue_up("held", [b"waits %d" % n for n in range(3)])
    gateway.deploy("held", None, "--update", config=calls.config())
    for n in range(3):
        held = calls.next()
        assert held.input == b"waits %d" % n and held.pid != old.pid, "what waited is the new version's"
        held.returns()
    old.returns()
    assert [outcome(call) for call in [running, *waiting]] == [b"done"] * 4


@pytest.mark.parametrize("warmup, replicas", [({"input": "warm up"}, 1), ({"file": "sample"}, 2)])
def test_a_warm_up_call_comes_before_all_others(life, warmup, replicas):
    life.deploy(1, files={"sample": "warm up"},
                config={"warmup": warmup, "replicas": {"min": replicas, "max": replicas}})
    made = [pid for word, _, pid in life.journal if word == "made"]
    warm = [pid for word, _, pid in life.journal if word == "warm"]
    assert len(made) == replicas and sorted(made) == sorted(warm), life.journal
    assert life.seen() == "1"
    # Each replica, also one that comes later.
    life.gateway.dcf("function", "restart", life.name)
    life.gateway.wait_ready(life.name)
    assert sum(word == "warm" for word, *_ in life.journal) == 2 * replicas


def test_a_warm_up_that_raises_fails_the_deploy(life, client):
    done = life.deploy(1, files={"cold": ""}, config={"warmup": {"input": "warm up"}}, check=False)
    assert done.returncode == 1 and "version 1 cannot get warm" in done.error and "handler.py" in done.error
    assert life.name not in client.names()
    # And leaves the old version serving.
    life.deploy(1, config={"warmup": {"input": "warm up"}})
    done = life.deploy(2, "--update", files={"cold": ""}, config={"warmup": {"input": "warm up"}}, check=False)
    assert done.returncode == 1 and "version 2 cannot get warm" in done.error
    assert life.seen() == "1" and client.meta(life.name).Status == "Ready"


def test_a_warm_up_of_every_kind_of_handler(gateway, client):
    for name, code, config in (
        ("warm-batch", "def Handler(reqs):\n    assert [r.input for r in reqs] == [b'w'] or reqs[0].input == b'x'\n"
                       "    return ['ok'] * len(reqs)\n",
         {"batch": {"max_size": 4}}),
        ("warm-stream", "import os\ndef Handler(req):\n    yield 'o'\n    yield 'k'\n"
                        "    os.environ['READ_TO_ITS_END'] = '1'\n    assert req.input in (b'w', b'x')\n", {}),
        ("warm-async", "async def Handler(req):\n    return 'ok'\n", {"concurrency": 4}),
    ):
        gateway.deploy(name, files={"handler.py": code}, config={"warmup": {"input": "w"}, **config})
        assert client.invoke(name, b"x") == "ok"


def test_a_warm_up_file_that_is_not_there(gateway, client):
    done = gateway.deploy("warm", files={"handler.py": "def Handler(req):\n    return 'x'\n"},
                          config={"warmup": {"file": "absent.png"}}, check=False)
    assert done.returncode == 1 and "absent.png" in done.error and "warm" not in client.names()


def test_a_warm_up_that_takes_too_long_is_a_start_that_does(gateway, client):
    code = "import time\ndef Handler(req):\n    time.sleep(600)\n"
    done = gateway.deploy("warm", files={"handler.py": code},
                          config={"warmup": {"input": ""}, "timeout": {"start": "1s"}}, check=False)
    assert done.returncode == 1 and "start" in done.error and "warm" not in client.names()


@pytest.mark.parametrize("strategy", ["rolling", "replace"])
def test_a_broken_version_leaves_the_old_one_and_tells_its_traceback(life, client, strategy):
    life.deploy(1, config={"strategy": strategy})
    done = life.deploy(2, "--update", files={"broken": ""}, config={"strategy": strategy}, check=False)
    assert done.returncode == 1
    assert ("the weights of version 2 are broken" in done.error and "Traceback" in done.error
            and "handler.py" in done.error)
    assert client.invoke(life.name, timeout=30) == "1"
    life.gateway.wait_ready(life.name)
    assert [version for _, version, _ in life.journal if version != "1"] == []
    # And a good one after it takes over.
    life.deploy(3, "--update", config={"strategy": strategy})
    assert life.seen() == "3"


def test_strategy_replace_never_has_both(life):
    life.deploy(1, config={"strategy": "replace"})
    life.deploy(2, "--update", config={"strategy": "replace"})
    assert life.seen() == "2"
    words = [(word, version) for word, version, _ in life.journal]
    assert words == [("made", "1"), ("closed", "1"), ("made", "2")], (
        "the old one must have ended before the new one begins")


def test_callers_wait_while_strategy_replace_is_under_way(life, client):
    life.deploy(1, config={"strategy": "replace", "parameters": {"load_seconds": 0.5}})
    updating = background(life.deploy, 2, "--update",
                          config={"strategy": "replace", "parameters": {"load_seconds": 0.5}})
    seen = []
    while not updating.done():
        seen.append(client.invoke(life.name, timeout=30))
    updating.result()
    assert set(seen) <= {"1", "2"} and seen == sorted(seen), "no call fails, and none goes back"
    assert life.seen() == "2"


def versions(gateway, name):
    """Of `dcf function versions`: number to its line."""
    lines = gateway.dcf("function", "versions", name).text.splitlines()
    return {int(re.search(r"\d+", line)[0]): line for line in lines[1:]}


def test_versions_and_rollback(life, client):
    gateway = life.gateway
    life.deploy_all(1, 2, 3)
    assert sorted(versions(gateway, life.name)) == [1, 2, 3]
    assert [v.Version for v in client.call("Versions", pb.FunctionRequest(FunctionName=life.name)).Versions] == [
        1, 2, 3]
    gateway.dcf("function", "rollback", life.name)
    assert life.seen() == "2" and client.meta(life.name).Version == 2
    gateway.dcf("function", "rollback", life.name, "--to", "1")
    assert life.seen() == "1"
    # Forward again is the same.
    client.call("Rollback", pb.RollbackRequest(FunctionName=life.name, Version=3), 60)
    assert life.seen() == "3"
    assert sorted(versions(gateway, life.name)) == [1, 2, 3]
    done = gateway.dcf("function", "rollback", life.name, "--to", "9", check=False)
    assert done.returncode == 1 and "9" in done.error and "3" in done.error, done.error
    assert refused(client.call, "Rollback", pb.RollbackRequest(FunctionName="nobody")).name == "NOT_FOUND"


def test_rollback_of_a_function_with_one_version(life):
    life.deploy(1)
    done = life.gateway.dcf("function", "rollback", life.name, check=False)
    assert done.returncode == 1 and done.error.strip() and life.seen() == "1"


def test_a_rollback_under_load_fails_no_call(life, client):
    life.deploy_all(1, 2)
    stop, seen = threading.Event(), []

    def load():
        while not stop.is_set():
            seen.append(client.invoke_bytes(life.name, timeout=30))

    callers = [background(load) for _ in range(8)]
    for target in ("1", "2", "1"):
        life.gateway.dcf("function", "rollback", life.name, "--to", target)
    stop.set()
    for caller in callers:
        caller.result(30)
    assert set(seen) == {b"1", b"2"} and life.seen() == "1"


def test_a_caller_names_a_version(life, client):
    life.deploy_all(1, 2, 3)
    for number in (1, 2, 3):
        assert client.invoke(f"{life.name}@{number}", timeout=30) == str(number)
    assert life.seen() == "3"
    error = refused(client.invoke, f"{life.name}@99")
    assert ((error.name, error.executed) == ("NOT_FOUND", "no")
            and all(n in error.message for n in ("99", "1", "2", "3"))), error
    assert life.gateway.dcf("function", "call", f"{life.name}@2", input=b"").stdout == b"2"


def test_a_version_stays_what_it_was(life, client):
    """Its parameters and limits too, not only its code."""
    gateway = life.gateway
    code = ("import json\nclass Handler:\n    def __init__(self, parameters):\n        self.p = parameters\n"
            "    def __call__(self, req):\n"
            "        return json.dumps([self.p, req.info.version, req.info.timeout['call']])\n")
    gateway.deploy("kept", files={"handler.py": code}, config={"parameters": {"a": 1}, "timeout": {"call": "11s"}})
    gateway.deploy("kept", None, "--update", files={"handler.py": code},
                   config={"parameters": {"a": 2}, "timeout": {"call": "22s"}})
    assert json.loads(client.invoke("kept@1", timeout=30))[:2] == [{"a": 1}, 1]
    assert json.loads(client.invoke("kept"))[:2] == [{"a": 2}, 2]
    gateway.dcf("function", "rollback", "kept")
    assert json.loads(client.invoke("kept"))[:2] == [{"a": 1}, 1]
    gateway.delete("kept")


def test_traffic_is_split_by_weight(life, client):
    life.deploy_all(1, 2)
    life.gateway.dcf("function", "traffic", life.name, "1=90", "2=10")
    count = collections.Counter(client.invoke(life.name, timeout=30) for _ in range(1000))
    # Ten standard deviations of 1,000 throws.
    assert set(count) == {"1", "2"} and 5 < count["2"] < 200, count
    assert {v.Version: v.Weight
            for v in client.call("Versions", pb.FunctionRequest(FunctionName=life.name)).Versions} == {1: 90, 2: 10}
    life.gateway.dcf("function", "traffic", life.name, "2=100")
    assert {client.invoke(life.name) for _ in range(50)} == {"2"}


def test_traffic_is_sticky_by_key(life, client):
    life.deploy_all(1, 2)
    life.gateway.dcf("function", "traffic", life.name, "1=50", "2=50")
    chosen = {}
    for _ in range(5):
        for n in range(60):
            version = client.invoke(life.name, metadata=[("dcf-key", f"user-{n}")], timeout=30)
            assert chosen.setdefault(n, version) == version, f"user-{n} went to {chosen[n]} and to {version}"
    assert set(chosen.values()) == {"1", "2"}, "60 users, and all on one version"
    # Who had the version that got more stays there.
    life.gateway.dcf("function", "traffic", life.name, "1=80", "2=20")
    for n, version in chosen.items():
        if version == "1":
            assert client.invoke(life.name, metadata=[("dcf-key", f"user-{n}")]) == "1", "a share that grew lost a user"
    # A named version comes before any weight.
    assert client.invoke(f"{life.name}@2", metadata=[("dcf-key", "user-1")]) == "2"


@pytest.mark.parametrize(
    "weights", [["1=90", "2=20"], ["1=50"], ["1=101"], ["1=-10", "2=110"], ["1=50", "1=50"], ["1=x", "2=50"],
                ["90", "10"], ["0=100"], []])
def test_weights_that_do_not_add_up(life, client, weights):
    life.deploy_all(1, 2)
    done = life.gateway.dcf("function", "traffic", life.name, *weights, check=False)
    assert done.returncode != 0 and done.error.strip(), f"{weights} were taken"
    try:
        shares = [pb.TrafficShare(Version=int(w.split("=")[0]), Weight=int(w.split("=")[1])) for w in weights]
    except (ValueError, IndexError):
        shares = None
    if shares is not None:
        error = refused(client.call, "SetTraffic", pb.TrafficRequest(FunctionName=life.name, Traffic=shares))
        assert (error.name, error.executed) == ("INVALID_ARGUMENT", "no"), error
    assert life.seen() == "2", "what was refused changed nothing"


def test_traffic_to_a_version_that_is_not_kept(life, client):
    life.deploy(1)
    error = refused(
        client.call, "SetTraffic",
        pb.TrafficRequest(FunctionName=life.name,
                          Traffic=[pb.TrafficShare(Version=1, Weight=50), pb.TrafficShare(Version=9, Weight=50)]))
    assert error.name in ("NOT_FOUND", "INVALID_ARGUMENT") and error.executed == "no" and "9" in error.message, error
    error = refused(client.call, "SetTraffic",
                    pb.TrafficRequest(FunctionName="nobody", Traffic=[pb.TrafficShare(Version=1, Weight=100)]))
    assert error.name == "NOT_FOUND"
    assert life.seen() == "1"


def test_an_update_ends_a_split(life, client):
    life.deploy_all(1, 2)
    life.gateway.dcf("function", "traffic", life.name, "1=50", "2=50")
    life.deploy(3, "--update")
    assert {client.invoke(life.name, timeout=30) for _ in range(40)} == {"3"}, "an update moves all traffic"


def test_versions_and_a_split_survive_a_kill(own_gateway, tmp_path):
    gateway = own_gateway()
    life = Life(gateway, tmp_path)
    life.deploy_all(1, 2)
    gateway.dcf("function", "traffic", life.name, "1=50", "2=50")
    gateway.kill()
    gateway.start()
    assert sorted(versions(gateway, life.name)) == [1, 2]
    wait_until(lambda: {gateway.client.invoke(life.name, timeout=30) for _ in range(30)} == {"1", "2"}, 20,
               "the split is as it was")
    gateway.dcf("function", "rollback", life.name, "--to", "1")
    gateway.kill()
    gateway.start()
    assert {gateway.client.invoke(life.name, timeout=30) for _ in range(10)} == {"1"}
    gateway.stop()


def test_the_limit_versions(own_gateway, tmp_path):
    gateway = own_gateway("--limit", "versions=3")
    life = Life(gateway, tmp_path)
    life.deploy_all(*range(1, 7))
    assert sorted(versions(gateway, life.name)) == [4, 5, 6]
    assert refused(gateway.client.invoke, f"{life.name}@1").name == "NOT_FOUND"
    wait_until(lambda: len(list((gateway.data / "bundles").iterdir())) <= 3, 10,
               "what no version needs any more is gone")
    gateway.stop()
