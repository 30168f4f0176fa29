"""A request's fields and metadata, the warm-up call, and a handler's close()."""
import json

import pytest

import frames
from replica import once, settings
from test_calls import handler
from test_loading import failed


def test_what_came_with_the_call(start, each_python):
    replica = start(handler("""import json
return json.dumps([req.request_id, req.traceparent, req.metadata, req.cancelled])"""), python=each_python).started()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = replica.ask(metadata=[("traceparent", trace), ("dcf-key", "k"), ("dcf-deadline", "x"), ("user", "u")])
    assert json.loads(answer.payload) == ["request-1", trace, {"traceparent": trace, "user": "u"}, False]
    assert json.loads(replica.ask(id=2).payload) == ["request-2", None, {}, False]


@pytest.mark.parametrize("prefix", ["", "async "])
def test_metadata_of_a_reply(start, each_python, prefix):
    replica = start(f"{prefix}def Handler(req):\n    req.set_metadata('model', 'v1')\n"
                    f"    req.set_metadata('cost', '3')\n    req.set_metadata('content-type', 'image/png')\n"
                    "    req.set_metadata('model', 'v2')\n    if req.input == b'raise': raise ValueError\n"
                    "    return req.input\n", python=each_python).started()
    sent = [("model", "v2"), ("cost", "3"), ("content-type", "image/png")]
    answer = replica.ask(b"x" * 5)
    assert (answer.payload, frames.metadata(answer)) == (b"xxxxx", sent)
    answer = replica.ask(b"y" * 100_000, id=2)
    assert (len(answer.payload), frames.metadata(answer)) == (100_000, sent)
    assert replica.error(b"raise", id=3).metadata == sent


@pytest.mark.parametrize("prefix", ["", "async "])
def test_metadata_of_a_stream(start, prefix):
    replica = start(f"{prefix}def Handler(req):\n    yield b'a'\n    req.set_metadata('pieces', '1')\n").started()
    assert frames.metadata(replica.stream()[1]) == [("pieces", "1")]


@pytest.mark.parametrize("key, value, words", [
    ("grpc-status", "0", "is reserved"), ("dcf-executed", "no", "is reserved"), (":path", "/", "is reserved"),
    ("", "x", "a metadata key is empty"),
    ("Upper", "x", "has characters other than"),
    ("with space", "x", "has characters other than"), ("data-bin", "x", "binary values are not supported"),
    ("k", "J\\u00f6rg", "is not printable ASCII"), ("k", "a\\nb", "is not printable ASCII"),
    ("k", "x" * 8192, "metadata holds 8192 bytes at most"),
])
def test_metadata_that_is_refused(start, key, value, words):
    replica = start(handler(f"""try:
    req.set_metadata("{key}", "{value}")
except ValueError as error:
    return str(error)""")).started()
    answer = replica.ask()
    assert words in answer.payload.decode()
    assert frames.metadata(answer) == []


@pytest.mark.parametrize("arguments", ["", "'a'", "'a', 7", "b'a', 'b'", "'a', 'b', 'c'"])
def test_wrong_arguments_of_set_metadata(start, arguments):
    assert start(handler(f"req.set_metadata({arguments})")).started().error().message.startswith("TypeError")


@pytest.mark.parametrize("code, number", [
    ("'NOT_FOUND'", 5), ("'not_found'", 5), ("5", 5), ("Code.NOT_FOUND", 5), ("'UNAUTHENTICATED'", 16)])
def test_a_chosen_status(start, each_python, code, number):
    replica = start("import dcf, enum\nclass Code(enum.Enum):\n    NOT_FOUND = (5, 'not found')\n"
                    f"def Handler(req): raise dcf.Error({code}, 'no such picture')\n", python=each_python).started()
    error = replica.error()
    assert (error.code, error.executed, error.message, error.traceback) == (number, frames.YES, "no such picture", "")
    replica.err.wait_for(b": no such picture (handler.py:4)\n")


@pytest.mark.parametrize("code, words", [
    ("0", "ValueError: a status code is one of 1 to 16, not 0 (OK is not an error)"),
    ("'OK'", "ValueError: a status code is"),
    ("17", "ValueError: a status code is one of 1 to 16, not 17"),
    ("'NOPE'", "ValueError: 'NOPE' is not a status code"),
    ("None", "TypeError: a status code is a name"), ("True", "TypeError: a status code is a name"),
])
def test_a_status_that_is_none(start, code, words):
    error = start(handler(f"import dcf\nraise dcf.Error({code}, 'x')")).started().error()
    assert error.code == frames.UNKNOWN and error.message.startswith(words)


def test_an_error_with_a_long_message(start):
    error = start(handler("import dcf\nraise dcf.Error(3, '\\u20ac' * 10_000)")).started().error()
    assert error.code == frames.INVALID_ARGUMENT
    assert len(error.message.encode()) * 3 < 2048


def test_a_kept_request_still_answers(start):
    replica = start("kept = []\ndef Handler(req):\n    kept.append(req)\n"
                    "    return ','.join('%s %s %s' % (r.request_id, r.cancelled, r.traceparent)"
                    " for r in kept)\n").started()
    replica.reply(id=1)
    # When the second call has begun, the first is over for the watcher too.
    replica.reply(id=2)
    replica.send(frames.cancel(1))
    assert replica.reply(id=3) == b"request-1 False None,request-2 False None,request-3 False None"


# The warm-up.

WARM = """
import dcf
class Handler:
    def __init__(self): self.seen = []
    {prefix}def __call__(self, req):
        self.seen.append(req.input)
        print("called", dcf.current_request_id(), flush=True)
        if req.input == b"bad": raise ValueError("cold")
        return b",".join(self.seen)
"""


@pytest.mark.parametrize("prefix", ["", "async "])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_warm_up(start, each_python, prefix, concurrency):
    replica = start(WARM.format(prefix=prefix), python=each_python,
                    settings=settings(warmup={"input": "warm"}, concurrency=concurrency)).started()
    assert replica.out.wait_for(b"\n") == b"called None\n"
    assert replica.reply(b"x") == b"warm,x"


def test_a_warm_up_from_a_file(start, folder):
    (folder / "sample.bin").write_bytes(b"\xff\x00")
    replica = start(WARM.format(prefix=""), settings=settings(warmup={"file": "sample.bin"})).started()
    assert replica.reply(b"x") == b"\xff\x00,x"


@pytest.mark.parametrize("prefix", ["", "async "])
def test_a_warm_up_that_raises(start, each_python, prefix):
    replica = start(WARM.format(prefix=prefix), python=each_python, settings=settings(warmup={"input": "bad"}))
    stage, summary, traceback = failed(replica)
    assert (stage, summary) == (4, "ValueError: cold (handler.py:8)")
    assert traceback.startswith("Traceback") and "<dcf>" not in traceback


@pytest.mark.parametrize("source, summary", [
    ("def Handler(req): return None", "the warm-up call: the handler returned None; a reply is str, bytes or another "
                                      "bytes-like object: is a return missing?"),
    ("def Handler(req):\n    yield b'x'\n    yield 7",
     "the warm-up call: the handler yielded an int as piece 2; a piece is str, bytes or another bytes-like object: "
     "yield str(piece) or bytes"),
])
def test_a_warm_up_with_a_wrong_reply(start, source, summary):
    assert failed(start(source, settings=settings(warmup={"input": ""}))) == (4, summary, "")


def test_a_warm_up_file_that_is_missing(start):
    assert failed(start(handler("return b''"), settings=settings(warmup={"file": "no.bin"}))) == (
        3, "warmup.file no.bin: No such file or directory", "")


@pytest.mark.parametrize("prefix", ["", "async "])
def test_a_warm_up_reads_a_stream_to_its_end(start, prefix):
    replica = start(f"{prefix}def Handler(req):\n    yield b'1'\n    yield b'2'\n    print('end', flush=True)\n",
                    settings=settings(warmup={"input": ""})).started()
    assert replica.out.wait_for(b"\n") == b"end\n"


@pytest.mark.parametrize("prefix", ["", "async "])
def test_a_warm_up_of_a_batch(start, prefix):
    batch = {"max_size": 4, "retry": True}
    source = (f"{prefix}def Handler(requests):\n    print(len(requests), flush=True)\n"
              "    return [r.input for r in requests]\n")
    replica = start(source, settings=settings(warmup={"input": "w"}, batch=batch)).started()
    assert replica.out.wait_for(b"\n") == b"1\n"
    assert replica.reply(b"x") == b"x"
    broken = f"{prefix}def Handler(requests): return []"
    other = start(broken, settings=settings(warmup={"input": "w"}, batch=batch), folder=replica.folder / "b")
    assert failed(other)[:2] == (
        4, "the warm-up call: the handler returned 0 replies for a batch of 1; "
           "it must return one for each request, in order")


# The end.

@pytest.mark.parametrize("prefix, call", [("", ""), ("async ", ""), ("async ", "async "), ("", "async ")])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_close_is_called_at_the_end(start, each_python, prefix, call, concurrency):
    replica = start(f"""
import atexit
atexit.register(print, "exit")
class Handler:
    {call}def __call__(self, req):
        print("call")
        return b""
    {prefix}def close(self):
        print("close")
""", python=each_python, settings=settings(concurrency=concurrency)).started()
    replica.send(frames.call(1), frames.frame(frames.DRAIN))
    assert replica.receive().kind == frames.REPLY
    assert replica.status() == 0
    assert replica.out.all() == b"\x1erequest-1\x1fcall\nclose\nexit\n"


def test_a_close_that_raises_is_in_the_log(start):
    replica = start("class Handler:\n    def __call__(self, req): return b''\n"
                    "    def close(self): raise OSError('stuck')\n").started()
    replica.drain()
    assert replica.status() == 0
    assert b"OSError: stuck" in replica.err.all()


def test_a_function_has_no_close(start):
    replica = start("def Handler(req): return b''\nHandler.close = 7\n").started()
    replica.drain()
    assert replica.status() == 0
    assert replica.err.all() == b""


# One call alone.

def test_once_writes_pieces(folder, each_python):
    done = once(folder, each_python, b"3", "def Handler(req):\n    for i in range(int(req.input)): yield str(i)\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"012", b"")


def test_once_writes_the_pieces_before_an_exception(folder, python):
    done = once(folder, python, b"", "async def Handler(req):\n    yield b'a'\n    raise ValueError('midway')\n")
    assert (done.returncode, done.stdout) == (1, b"a")
    assert b"ValueError: midway" in done.stderr and b"<dcf>" not in done.stderr


@pytest.mark.parametrize("prefix", ["", "async "])
def test_once_gives_a_batch_of_one(folder, each_python, prefix):
    source = f"{prefix}def Handler(requests):\n    assert len(requests) == 1\n    return [requests[0].input * 2]\n"
    done = once(folder, each_python, b"ab", source, config={"batch": {"max_size": 8, "retry": True}})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"abab", b"")
    source = f"{prefix}def Handler(requests): return None"
    wrong = once(folder, each_python, b"ab", source, config={"batch": {"max_size": 8}})
    assert wrong.returncode == 1
    assert b"the handler returned None for a batch of 1" in wrong.stderr


def test_once_and_a_chosen_status(folder, python):
    done = once(folder, python, b"", handler("import dcf\nraise dcf.Error('NOT_FOUND', 'nothing')"))
    assert done.returncode == 1 and b"NOT_FOUND: nothing" in done.stderr
