#!/usr/bin/env python3
"""Measures what the execution model promises, each figure beside its goal; what is compared runs in turn (A B A B ...).

    make bench-execution                                  everything
    make bench-execution ARGS="--rounds 5 --only stream"

batching   a perceptron of four layers of 2048 x 2048 in numpy, 64 in flight, one replica: with `batch` against without;
           and one call at a time, which must cost the same. silero-vad beside it
cold       an echo with `min: 0` that does not run, 50 times: from the call to the reply; and a handler that imports
           numpy, with `preload: [numpy]`
scale      small calls of one echo: a gateway with 1,000 more functions of `min: 0` and 20 that run, against one with
           echo alone
overrun    a handler that sleeps for ever: how late its caller is answered, and when the next one is
stream     10,000 pieces of 1 KiB through Invokes, 20 streams one after another, against a bare C++ server that streams
           the same; and how much memory grows while a reader takes ten pieces a second
chain      a function that calls another, against that other alone: median latency
updates    200 updates with 64 calls in flight on a handler of 5 ms and 2 replicas: calls that fail

Every reply is counted. The program exits with 1 when a goal is missed. It needs what `make bench` needs, and makes
venvs with grpcio, numpy and the models' packages in the cache.
"""
import argparse
import array
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import bench
from bench import CACHE, HERE, ROOT, Bench, Failure, Work, load, request, resident, wait_for

PARTS = ("batching", "cold", "scale", "overrun", "stream", "chain", "updates")
END_TO_END = ROOT / "Tests/EndToEnd"
PIECES, STREAMS = 10_000, 20


def venv(name, *packages, alone=()):
    """A venv in the cache; `alone` are installed without what they ask for."""
    home = CACHE / name
    wanted = " ".join([*packages, *alone])
    made = home / "made-for"
    if not made.exists() or made.read_text() != wanted:
        print(f"making {home}", file=sys.stderr)
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        pip = [home / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)
        if alone:
            subprocess.run([*pip, "--no-deps", *alone], check=True)
        made.write_text(wanted)
    return home


def with_client():
    """Goes on in a venv that has a gRPC client, if this interpreter has none."""
    try:
        import grpc_tools  # noqa: F401
    except ImportError:
        python = venv("bench-client", "grpcio==1.85.1", "grpcio-tools==1.85.1") / "bin/python"
        os.execv(python, [python, *sys.argv])
    sys.path.insert(0, str(END_TO_END))


@dataclasses.dataclass(frozen=True)
class Line:
    """One figure of the table."""

    what: str
    value: float
    shown: str
    goal: str
    good: bool | None

    @property
    def verdict(self):
        return {True: "ok", False: "MISSED", None: ""}[self.good]


class Execution:
    def __init__(self, programs, rounds, scratch):
        self.programs, self.rounds, self.scratch = programs, rounds, scratch
        self.lines = []

    def note(self, what, value, shown, goal="", good=None):
        line = Line(what, value, shown, goal, good)
        self.lines.append(line)
        print(f"{line.what:62}{line.shown:>26}   {line.goal:24} {line.verdict}", flush=True)

    def gateway(self, name):
        """A Bench with a gateway of its own, and no function yet."""
        folder = self.scratch / name
        folder.mkdir()
        made = Bench(self.programs, self.rounds, folder)
        made.start_gateway()
        return made

    def in_turn(self, sides, run, rounds=None):
        """Runs each side once to warm it, then all of them in turn. Returns for each side what `run` gave in each
        round."""
        for side in sides:
            run(side)
        seen = {side: [] for side in sides}
        for n in range(rounds or self.rounds):
            for side in sides if n % 2 == 0 else sides[::-1]:
                seen[side].append(run(side))
        return seen

    @staticmethod
    def ratio(seen, one, other, figure):
        """The median of the rounds' ratios, and the medians."""
        def value(result):
            return getattr(result, figure)

        ratios = [value(a) / value(b) for a, b in zip(seen[one], seen[other], strict=True)]
        return statistics.median(ratios), *(statistics.median(map(value, seen[side])) for side in (one, other))

    # The parts.

    def batching(self):
        home = venv("bench-models", "numpy", "onnxruntime", alone=("silero-vad==6.2.3",))
        with self.gateway("batching") as one:
            batching = {"batch": {"max_size": 64, "max_wait": "2ms"}, "python": str(home)}
            vector = array.array("f", [((n * 37) % 101 - 50) / 50 for n in range(2048)]).tobytes()
            speech = ROOT / "examples/batching/handler.py"
            shutil.copy(speech, one.scratch / "batching.py")
            for model, data, reply, many, single in (
                ("perceptron", vector, 64, Work(len(vector), 3_000, 4, 16), Work(len(vector), 400, 1, 1)),
                ("speech", bytes(1024), 30, Work(1024, 20_000, 4, 16), Work(1024, 2_000, 1, 1)),
            ):
                more = [one.scratch / "batching.py"] if model == "speech" else []
                deploy_as(one, model, f"{model}-batch", {**batching, "handler": {"name": "Batch"}}, more)
                deploy_as(one, model, f"{model}-single", {"python": str(home), "handler": {"name": "Single"}}, more)
                sides = [f"{model}-batch", f"{model}-single"]

                def run(side, work, data=data, reply=reply):
                    return load(one.port, request(side, data), work, one.scratch, reply_size=reply,
                                path="/pb.Gateway/InvokeBytes")

                loaded = self.in_turn(sides, functools.partial(run, work=many))
                rate, batched, plain = self.ratio(loaded, *sides, "rate")
                idle = self.in_turn(sides, functools.partial(run, work=single))
                p50, batched_us, plain_us = self.ratio(idle, *sides, "p50_us")
                goal = model == "perceptron"
                self.note(f"{model}, 64 in flight: batched over plain", rate,
                          f"{rate:.2f} x ({batched:.0f}/{plain:.0f} /s)",
                          "at least 4 x" if goal else "", rate >= 4 if goal else None)
                # Two medians of the same work differ by some per cent from run to run.
                self.note(f"{model}, one at a time: p50 batched over plain", p50,
                          f"{p50:.2f} x ({batched_us:.0f}/{plain_us:.0f} us)",
                          "the same (1.05 x)" if goal else "", p50 <= 1.05 if goal else None)

    def cold(self, tries=50):
        from support.client import Client

        home = venv("bench-models", "numpy", "onnxruntime", alone=("silero-vad==6.2.3",))
        cold = {"replicas": {"min": 0, "max": 1}, "timeout": {"idle": "100ms"}}
        with self.gateway("cold") as one:
            deploy_as(one, "echo", "echo", cold)
            deploy_as(one, "imports-numpy", "preloaded", {**cold, "python": str(home), "preload": ["numpy"]})
            deploy_as(one, "imports-numpy", "imported", {**cold, "python": str(home)})
            client, took = Client(f"127.0.0.1:{one.port}"), {"echo": [], "preloaded": [], "imported": []}
            for n in range(tries + 1):
                for name in took:
                    wait_for(
                        lambda name=name: client.meta(name).Status == "Idle" and not client.meta(name).Instances, 30,
                        f"{name} stops")
                    began = time.monotonic()
                    if client.invoke_bytes(name, b"wake up", timeout=30) != b"wake up":
                        raise Failure(f"{name} answered something else")
                    if n:
                        took[name].append((time.monotonic() - began) * 1000)
            client.close()
        p50 = {name: statistics.median(all) for name, all in took.items()}
        self.note(f"cold start of echo, {tries} times, p50", p50["echo"], f"{p50['echo']:.0f} ms", "at most 100 ms",
                  p50["echo"] <= 100)
        ratio = statistics.median(a / b for a, b in zip(took["preloaded"], took["echo"], strict=True))
        self.note("cold start that imports numpy, preloaded, over echo's", ratio,
                  f"{ratio:.2f} x ({p50['preloaded']:.0f} ms)", "at most 1.5 x", ratio <= 1.5)
        self.note("the same without preload", p50["imported"], f"{p50['imported']:.0f} ms")

    def scale(self, registered=1000, running=20):
        from support.bundles import bundle
        from support.client import Client

        data = bundle({"handler.py": (HERE / "functions/echo/handler.py").read_bytes()})
        with self.gateway("few") as few, self.gateway("many") as many:
            for one in (few, many):
                one.dcf("function", "create", "-f", one.folder("echo"))
            client, began = Client(f"127.0.0.1:{many.port}"), time.monotonic()
            for n in range(registered + running):
                least = "{min: 1, max: 1}" if n < running else "{min: 0, max: 1}"
                client.deploy_watch(f"f{n}", data,
                                    config=f"runtime: python3\nreplicas: {least}\ntimeout: {{idle: 1s}}\n")
            took = time.monotonic() - began
            wait_for(lambda: sum(f.Replicas > 0 for f in client.call("List", pb().Empty()).Functions) == running + 1,
                     60, f"{running} functions and echo run")
            client.close()
            sides = {"few": few, "many": many}
            work = bench.WORKS["small"]
            body = request("echo", b"a" * work.size)
            seen = self.in_turn(list(sides), lambda s: load(sides[s].port, body, work, self.scratch))
            ratio, with_many, with_few = self.ratio(seen, "many", "few", "rate")
            held = resident(many.gateway.pid)
        self.note(f"small calls with {registered} functions more, {running} running, over none", ratio,
                  f"{ratio:.2f} x ({with_many:.0f}/{with_few:.0f} /s)", "at least 0.95 x", ratio >= 0.95)
        self.note("that gateway's memory", held, f"{held / 1e6:.1f} MB", "below 80 MB", held < 80e6)
        self.note("registering them, each", took / (registered + running),
                  f"{took / (registered + running) * 1000:.0f} ms")

    def overrun(self, tries=21, timeout=0.5):
        from support.client import Client, Refused

        late, replaced = [], []
        with self.gateway("overrun") as one:
            one.dcf("function", "create", "-f", one.folder("stuck", {"timeout": {"call": "500ms"}}))
            client = Client(f"127.0.0.1:{one.port}")
            for _ in range(tries):
                pid, began = client.invoke("stuck"), time.monotonic()
                try:
                    client.invoke("stuck", b"sleep", timeout=30)
                    raise Failure("a handler that sleeps for ever answered")
                except Refused as error:
                    if error.name != "DEADLINE_EXCEEDED":
                        raise Failure(f"a handler that overran was answered with {error}") from error
                late.append((time.monotonic() - began - timeout) * 1000)

                def another(pid=pid):
                    try:
                        return client.invoke("stuck", timeout=30) != pid
                    except Refused:
                        return False

                wait_for(another, 10, "a replacement")
                replaced.append((time.monotonic() - began - timeout) * 1000)
            client.close()
        self.note(f"deadline overrun, {tries} times: answered after the deadline, p50", statistics.median(late),
                  f"{statistics.median(late):.0f} ms ({max(late):.0f} at most)", "within 100 ms", max(late) <= 100)
        self.note("the replacement answers after the deadline, p50", statistics.median(replaced),
                  f"{statistics.median(replaced):.0f} ms ({max(replaced):.0f} at most)", "within 1,000 ms",
                  max(replaced) <= 1000)

    def stream(self, reading_seconds=30):
        from support.client import Client
        from support.streams import Stream

        work = Work(1024, STREAMS, 1, 1)
        body = request("pieces", b"%d" % PIECES)
        with self.gateway("stream") as one:
            one.dcf("function", "create", "-f", one.folder("pieces", {"timeout": {"call": "10m"}}))
            one.start_bare()
            ports = {"gateway": one.port, "bare": one.bare_port}
            seen = self.in_turn(list(ports), lambda s: load(
                ports[s], body, work, one.scratch, reply_size=PIECES * 1029 - 5, path="/pb.Gateway/Invokes"))
            ratio, ours, bare = self.ratio(seen, "gateway", "bare", "rate")
            self.note(f"pieces of 1 KiB, {STREAMS} streams of {PIECES}, over the bare server", ratio,
                      f"{ratio:.2f} x ({ours * PIECES:.0f}/{bare * PIECES:.0f} /s)", "at least 0.5 x", ratio >= 0.5)
            client = Client(f"127.0.0.1:{one.port}")
            pids = [one.gateway.pid, client.meta("pieces").Instances[0].Pid]
            with Stream(client, timeout=600) as slow:
                slow.send("pieces", b"100000000")
                for _ in range(10):
                    slow.piece()
                time.sleep(1)
                before = [resident(pid) for pid in pids]
                end, grown = time.monotonic() + reading_seconds, 0
                while time.monotonic() < end:
                    slow.piece()
                    time.sleep(0.1)
                    grown = max(grown, *(resident(pid) - was for pid, was in zip(pids, before, strict=True)))
            client.close()
        self.note(f"memory with a reader of 10 pieces a second, {reading_seconds} s: growth", grown,
                  f"{grown / 1e6:.2f} MB", "flat (1 MB)", grown <= 1e6)

    def chain(self):
        work = bench.WORKS["single"]
        with self.gateway("chain") as one:
            for name in ("echo", "chained"):
                one.dcf("function", "create", "-f", one.folder(name))
            seen = self.in_turn(["chained", "echo"], lambda s: load(
                one.port, request(s, b"a" * work.size), work, one.scratch))
        ratio, chained, single = self.ratio(seen, "chained", "echo", "p50_us")
        self.note("a chain of two functions, p50 over the single call's", ratio,
                  f"{ratio:.2f} x ({chained:.0f}/{single:.0f} us)", "at most 2.2 x", ratio <= 2.2)

    def updates(self, count=200):
        from support.ledger import Ledger, Load

        with self.gateway("updates") as one:
            ledger = Ledger(one.scratch / "ledger")
            path = pathlib.Path(one.folder("ledger", {
                "parameters": {"ledger": str(ledger.path)}, "replicas": {"min": 2, "max": 2}}))
            one.dcf("function", "create", "-f", str(path))
            with Load(f"127.0.0.1:{one.port}", ledger, ["ledger"], in_flight=64, milliseconds=5) as calls:
                began = time.monotonic()
                for n in range(count):
                    (path.parent / "ledger/number.txt").write_text(str(n))
                    one.dcf("function", "create", "-f", str(path), "--update")
                took = time.monotonic() - began
                calls.stop()
            try:
                counts = ledger.check()
            except AssertionError as error:
                raise Failure(f"updates: {error}") from error
        failed = sum(counts.values()) - counts["OK"]
        self.note(f"{count} updates under load: calls that failed of {sum(counts.values())}", failed, str(failed), "0",
                  failed == 0)
        self.note("an update, from exec to exit", took / count, f"{took / count * 1000:.0f} ms")


def pb():
    from support.client import pb as messages

    return messages


def deploy_as(one, folder, name, config, more=()):
    """Deploys a folder of functions/ under another name."""
    home = one.scratch / f"as-{name}"
    shutil.copytree(HERE / "functions" / folder, home / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in more:
        shutil.copy(file, home / name)
    path = home / "config.yaml"
    path.write_text(json.dumps({"functions": {name: {"runtime": "python3", **config}}}))
    one.dcf("function", "create", "-f", str(path))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--only", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    options.add_argument("--bin", default=str(ROOT / ".build/release"), help="the folder of the programs")
    options.add_argument("--json", metavar="FILE", help="also write every figure there")
    chosen = options.parse_args()
    unknown = set(chosen.only.split(",")) - set(PARTS)
    if unknown:
        options.error(f"--only: {', '.join(sorted(unknown))}: not one of {', '.join(PARTS)}")
    with_client()
    missed = False
    with tempfile.TemporaryDirectory(prefix="dcf-bench-") as scratch:
        execution = Execution(pathlib.Path(chosen.bin).resolve(), chosen.rounds, pathlib.Path(scratch))
        print(f"{'':62}{'measured':>26}   {'goal':24}", flush=True)
        for part in PARTS:
            if part in chosen.only.split(","):
                try:
                    getattr(execution, part)()
                except Failure as failure:
                    print(f"{part}: {failure}", file=sys.stderr)
                    missed = True
    if chosen.json:
        pathlib.Path(chosen.json).write_text(
            json.dumps([dataclasses.asdict(line) for line in execution.lines], indent=1) + "\n")
    sys.exit(missed or any(line.good is False for line in execution.lines))


if __name__ == "__main__":
    main()
