"""`batch`: the handler gets a list of what waits, and gives a list back."""
import time

import pytest

from support.client import Refused, outcome, refused
from support.ledger import Ledger, Load
from support.processes import kill
from support.waiting import wait_until


def waiting(client, calls, name, data):
    """Holds one call in the handler, and has the others wait behind it: (the held one's future, itself, the others)."""
    first = client.begin(name, b"first")
    held = calls.next()
    assert held.inputs == [b"first"], "an idle function runs a single call at once, alone"
    return first, held, client.queue_up(name, data)


def test_what_waits_is_one_list_in_order(gateway, client, calls):
    gateway.deploy("held", config=calls.config("Batch", batch={"max_size": 8}))
    data = [b"%d" % n for n in range(6)]
    first, held, begun = waiting(client, calls, "held", data)
    held.returns([b"alone"])
    batch = calls.next()
    assert batch.inputs == data
    assert batch.eval("type(reqs).__name__") == "list" and batch.eval("[r.info.name for r in reqs]") == ["held"] * 6
    assert (batch.eval("all(r.remaining() > 0 for r in reqs)")
            and len(set(batch.eval("[r.request_id for r in reqs]"))) == 6)
    batch.returns_value_of("[r.input + b'!' for r in reqs]")
    assert outcome(first) == b"alone"
    assert [outcome(call) for call in begun] == [one + b"!" for one in data]


def test_no_more_than_max_size(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Batch", batch={"max_size": 2}))
    first, held, begun = waiting(client, calls, "held", [b"%d" % n for n in range(5)])
    held.returns([b"alone"])
    sizes = []
    for _ in range(3):
        batch = calls.next()
        sizes.append(len(batch.inputs))
        calls.nothing(0.1)
        batch.returns_value_of("[r.input for r in reqs]")
    assert sizes == [2, 2, 1]
    assert [outcome(call) for call in [first, *begun]] == [b"alone"] + [b"%d" % n for n in range(5)]


@pytest.mark.alone
def test_an_idle_function_answers_a_single_call_with_no_delay(gateway, client):
    code = "def Handler(reqs):\n    return [b'%d' % len(reqs)] * len(reqs)\n"
    gateway.deploy("idle", files={"handler.py": code}, config={"batch": {"max_size": 8, "max_wait": "3s"}})
    client.invoke("idle")
    took = []
    for _ in range(20):
        began = time.monotonic()
        assert client.invoke("idle") == "1"
        took.append(time.monotonic() - began)
    assert sorted(took)[10] < 0.1, f"an idle function took {sorted(took)[10]:.3f} s for one call"


def test_max_wait_waits_for_a_full_batch(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Batch", batch={"max_size": 3, "max_wait": "30s"}))
    first, held, begun = waiting(client, calls, "held", [b"a"])
    held.returns([b"alone"])
    assert outcome(first) == b"alone"
    calls.nothing()
    begun += client.queue_up("held", [b"b"])
    begun.append(client.begin("held", b"c"))
    batch = calls.next(10)
    assert batch.inputs == [b"a", b"b", b"c"]
    batch.returns_value_of("[r.input for r in reqs]")
    assert [outcome(call) for call in begun] == [b"a", b"b", b"c"]


def test_max_wait_ends(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Batch", batch={"max_size": 3, "max_wait": "400ms"}))
    first, held, begun = waiting(client, calls, "held", [b"a"])
    held.returns([b"alone"])
    batch = calls.next(10)
    assert batch.inputs == [b"a"]
    batch.returns([b"a"])
    assert [outcome(first), outcome(begun[0])] == [b"alone", b"a"]


def test_an_item_may_be_an_exception(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Batch", batch={"max_size": 4}))
    first, held, begun = waiting(client, calls, "held", [b"0", b"1", b"2", b"3"])
    held.returns([b"alone"])
    batch = calls.next()
    batch.returns_value_of("[b'zero', ValueError('bad picture'), dcf.Error('NOT_FOUND', 'no such word'), 'three']")
    ended = [outcome(call) for call in begun]
    assert ended[0] == b"zero" and ended[3] == b"three" and outcome(first) == b"alone"
    assert (ended[1].name, ended[1].executed) == ("UNKNOWN", "yes") and "ValueError: bad picture" in ended[1].message
    assert (ended[2].name, ended[2].executed, ended[2].message) == ("NOT_FOUND", "yes", "no such word")
    assert calls.begun == [b"first", b"0", b"1", b"2", b"3"], "what was answered by an item is not tried again"


POISON = """
import os, time
class Handler:
    def __init__(self, parameters):
        self.file = os.open(parameters["ledger"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.go = parameters["ledger"] + ".go"
    def __call__(self, reqs):
        names = [r.input.decode() for r in reqs]
        os.write(self.file, (" ".join(names) + "\\n").encode())
        while "hold" in names and not os.path.exists(self.go):
            time.sleep(0.01)
        if "poison" in names:
            raise ValueError("poisoned")
        return [n.upper() for n in names]
"""


@pytest.mark.parametrize("retry", [True, False])
def test_one_poisoned_input_cannot_fail_its_neighbours(gateway, client, tmp_path, retry):
    ran = tmp_path / "ran"
    gateway.deploy("poison", None, "--replace", files={"handler.py": POISON}, config={
        "batch": {"max_size": 4, "retry": retry}, "parameters": {"ledger": str(ran)}})
    hold = client.begin("poison", b"hold")
    wait_until(lambda: ran.exists() and ran.read_text() == "hold\n", 10, "the first call holds the replica")
    begun = client.queue_up("poison", (b"a", b"poison", b"b"))
    (tmp_path / "ran.go").touch()
    ended = [outcome(call) for call in begun]
    assert outcome(hold) == b"HOLD"
    lines = ran.read_text().splitlines()
    assert lines[0] == "hold" and sorted(lines[1].split()) == ["a", "b", "poison"], "one batch of the three"
    if retry:
        assert ended[0] == b"A" and ended[2] == b"B"
        assert sorted(lines[2:]) == ["a", "b", "poison"], "each once more, alone"
    else:
        assert lines[2:] == []
        for error in (ended[0], ended[2]):
            assert (error.name, error.executed) == ("UNKNOWN", "yes") and "poisoned" in error.message
    assert (ended[1].name, ended[1].executed) == ("UNKNOWN", "yes") and "ValueError: poisoned" in ended[1].message


def test_a_call_of_its_own_that_raises_is_not_tried_again(gateway, client, tmp_path):
    ran = tmp_path / "ran"
    gateway.deploy("poison", None, "--replace", files={"handler.py": POISON}, config={
        "batch": {"max_size": 4}, "parameters": {"ledger": str(ran)}})
    assert "poisoned" in refused(client.invoke, "poison", b"poison").message
    assert ran.read_text() == "poison\n", "it was alone already"


@pytest.mark.parametrize(
    "result, said",
    [
        ("[b'only one']", ("1", "3")),
        ("[b'x'] * 4", ("4", "3")),
        ("[]", ("0", "3")),
        ("None", ("None", "list")),
        ("b'bytes'", ("bytes", "list")),
        ("{'a': 1}", ("dict", "list")),
        ("(r.input for r in reqs)", ("generator", "list")),
        ("7", ("int", "list")),
    ])
def test_a_result_that_is_no_list_of_that_length(gateway, client, calls, result, said):
    gateway.deploy("held", None, "--replace", config=calls.config("Batch", batch={"max_size": 3, "retry": False}))
    first, held, begun = waiting(client, calls, "held", [b"0", b"1", b"2"])
    held.returns([b"alone"])
    batch = calls.next()
    assert len(batch.inputs) == 3
    batch.returns_value_of(result)
    for call in begun:
        error = outcome(call)
        assert isinstance(error, Refused), f"{result} as the result of three was taken: {error}"
        assert (error.name, error.executed) == ("INTERNAL", "yes"), error
        assert all(word in error.message for word in said), f"{error.message!r} should say {said}"
    assert outcome(first) == b"alone"


def test_a_handler_that_is_a_generator_inside_a_batch(gateway, client):
    code = "class Handler:\n    def __call__(self, reqs):\n        for req in reqs:\n            yield req.input\n"
    done = gateway.deploy("yields", files={"handler.py": code}, config={"batch": {"max_size": 2}}, check=False)
    if done.returncode == 0:
        error = refused(client.invoke, "yields", b"x")
        assert (error.name, error.executed) == ("INTERNAL", "yes") and "generator" in error.message
    else:
        assert "yield" in done.error or "generator" in done.error


def test_an_item_of_a_wrong_type_fails_that_caller_alone(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Batch", batch={"max_size": 3}))
    first, held, begun = waiting(client, calls, "held", [b"0", b"1", b"2"])
    held.returns([b"alone"])
    calls.next().returns_value_of("[b'zero', 5, {'a': 1}]")
    ended = [outcome(call) for call in begun]
    assert ended[0] == b"zero" and outcome(first) == b"alone"
    assert (ended[1].name, ended[1].executed) == ("INTERNAL", "yes") and "int" in ended[1].message
    assert (ended[2].name, ended[2].executed) == ("INTERNAL", "yes") and "json.dumps" in ended[2].message


def test_a_call_that_is_out_of_time_is_not_in_the_list(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Batch", batch={"max_size": 3}))
    first = client.begin("held", b"first")
    held = calls.next()
    short, long = client.begin("held", b"short", timeout=0.4), client.begin("held", b"long")
    assert outcome(short).name == "DEADLINE_EXCEEDED"
    # The client's library says so by itself: the gateway's clock for it began a little later.
    calls.nothing()
    held.returns([b"alone"])
    batch = calls.next()
    assert batch.inputs == [b"long"]
    batch.returns([b"kept"])
    assert [outcome(first), outcome(long)] == [b"alone", b"kept"]


def test_a_deadline_within_a_batch_fails_that_caller_alone(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Batch", batch={"max_size": 2}))
    first = client.begin("held", b"first")
    held = calls.next()
    begun = client.queue_up("held", [b"short"], timeout=2) + client.queue_up("held", [b"long"])
    held.returns([b"alone"])
    batch = calls.next()
    assert batch.inputs == [b"short", b"long"]
    error = outcome(begun[0])
    assert error.name == "DEADLINE_EXCEEDED"
    batch.returns_value_of("[r.input for r in reqs]")
    assert [outcome(first), outcome(begun[1])] == [b"alone", b"long"]


def test_a_watcher_that_dies_with_a_batch(gateway, client, calls):
    gateway.deploy("held", None, "--replace", config=calls.config("Batch", batch={"max_size": 3}))
    first, held, begun = waiting(client, calls, "held", [b"0", b"1", b"2", b"3"])
    held.returns([b"alone"])
    batch = calls.next()
    assert len(batch.inputs) == 3
    kill(batch.pid)
    for call in begun[:3]:
        error = outcome(call)
        assert (error.name, error.executed) == ("UNAVAILABLE", "maybe")
    rest = calls.next()
    assert rest.inputs == [b"3"], "only what had not been sent is run by the next one"
    rest.returns([b"kept"])
    assert [outcome(first), outcome(begun[3])] == [b"alone", b"kept"]
    assert len(calls.begun) == len(set(calls.begun)), "a call ran twice"


def test_batches_under_load_are_honest(gateway, client, tmp_path):
    """Many callers: one status each, nothing runs twice, and each reply is its own caller's."""
    code = """
import hashlib, os
class Handler:
    def __init__(self, parameters):
        self.file = os.open(parameters["ledger"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    def write(self, word, reqs):
        os.write(self.file, "".join(word + " " + r.input.decode().split()[0] + "\\n" for r in reqs).encode())
    def __call__(self, reqs):
        self.write("start", reqs)
        self.write("end", reqs)
        return [hashlib.sha256(r.input.decode().split()[0].encode()).hexdigest() for r in reqs]
"""
    ledger = Ledger(tmp_path / "ledger")
    gateway.deploy("honest", files={"handler.py": code}, config={
        "batch": {"max_size": 16}, "parameters": {"ledger": str(ledger.path)}, "replicas": {"min": 2, "max": 2}})
    with Load(gateway.address, ledger, ["honest"], in_flight=64) as load:
        wait_until(lambda: len(ledger.statuses) > 3000, 60, "3,000 calls")
        load.stop()
    assert set(ledger.check()) == {"OK"}
