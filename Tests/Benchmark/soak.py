#!/usr/bin/env python3
"""Has a gateway do everything at once for a long time, and counts what was unexpected and what grew.

    make soak                                 30 minutes
    make soak ARGS="--seconds 60"

These run side by side: small and large unary calls, streams that are read to their end and streams that are left in
between, batches, calls that are cancelled, calls that pass their deadline, chains, callers of a function that loses its
watchers, of one that is updated and of one that is scaled, followers of a log that come and go (gRPC, and
`dcf function log --follow` with Ctrl-C) while the function prints, and a client that asks for the list and for the
gateway's health.

Each outcome is compared with those that its kind of work may have. The gateway's memory (RSS), descriptors and threads
are noted each second. After a warm-up a line is fitted to the medians of windows. The program exits with 1 when
anything was unexpected, or when one of the three grew by more than its noise: three standard errors of the line's
slope over the whole time, and a floor.

Needs what `make bench-execution` needs: a venv with grpcio in the cache.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from bench import ROOT, Failure, wait_for
from execution import with_client

#: What is fitted is the median of so many windows.
WINDOWS = 20
#: What each may grow by whatever the noise: an arena of malloc's, a thread or a descriptor that comes and goes.
FLOORS = {"RSS, KiB": 4096, "descriptors": 3, "threads": 3}

FUNCTIONS = {
    "echo": ("class Handler:\n    def __call__(self, req):\n        return req.input\n", {"replicas": 2}),
    "batched": ("class Handler:\n    def __call__(self, reqs):\n        return [req.input for req in reqs]\n",
                {"batch": {"max_size": 16, "max_wait": "5ms"}}),
    "pieces": ("def Handler(req):\n    for n in range(int(req.input)):\n        yield b'%08d' % n + b'.' * 4088\n",
               {"concurrency": 4}),
    "sleeper": ("import time\n\ndef Handler(req):\n    time.sleep(float(req.input))\n    return b'awake'\n",
                {"concurrency": 8}),
    "chain": ("import dcf\n\ndef Handler(req):\n    return dcf.call('echo', req.input)\n", {"concurrency": 4}),
    "victim": ("import os\n\ndef Handler(req):\n    return b'%d' % os.getpid()\n", {"replicas": 3}),
    "updated": ("def Handler(req):\n    return b'version 0'\n", {"replicas": 2}),
    "scaled": ("class Handler:\n    def __call__(self, req):\n        return req.input\n", {}),
    "talk": ("def Handler(req):\n    for n in range(int(req.input)):\n        print('line', n)\n    return b'said'\n",
             {}),
}


class Soak:
    def __init__(self, programs, seconds, seed, scratch):
        self.programs, self.seconds, self.scratch = programs, seconds, scratch
        self.chance = random.Random(seed)
        self.over = threading.Event()
        #: The function that prints goes on until its followers have left.
        self.quiet = threading.Event()
        self.lock = threading.Lock()
        #: By kind of work: outcomes.
        self.outcomes = collections.defaultdict(collections.Counter)
        self.unexpected = []
        self.samples = []

    # What came of it.

    def note(self, work, outcome, expected, words=""):
        with self.lock:
            self.outcomes[work][outcome if expected else f"unexpected {outcome}"] += 1
            if not expected:
                self.unexpected.append(f"{time.strftime('%H:%M:%S')} {work}: {outcome} {words}"[:400])

    def attempt(self, work, body, allowed=("OK",)):
        """Runs `body`, which raises an error when something is wrong, and notes how it ended. A status in `allowed` is
        fine."""
        import grpc

        try:
            body()
        except grpc.RpcError as error:
            name = error.code().name
            self.note(work, name, name in allowed, error.details() or "")
        except Exception as error:
            self.note(work, type(error).__name__, False, str(error))
        else:
            self.note(work, "OK", "OK" in allowed, "was answered")

    # The work. Each is called again and again on a thread of its own, with a client and a source of chance of its own.

    def invoke(self, client, name, data, timeout=60):
        return client.stub.InvokeBytes(self.pb.InvokeServiceRequest(Service=name, Input=data), timeout=timeout).Output

    def expect(self, got, wanted):
        if got != wanted:
            raise Failure(f"{got[:80]!r} instead of {wanted[:80]!r}")

    def small(self, client, chance):
        data = chance.randbytes(chance.randrange(256))
        self.attempt("unary, small", lambda: self.expect(self.invoke(client, "echo", data), data))

    def large(self, client, chance):
        data = chance.randbytes(1 << 20)
        self.attempt("unary, 1 MiB", lambda: self.expect(self.invoke(client, "echo", data), data))
        self.over.wait(0.05)

    def batch(self, client, chance):
        data = chance.randbytes(32)
        self.attempt("batches", lambda: self.expect(self.invoke(client, "batched", data), data))

    def stream(self, client, chance):
        count = chance.randrange(1, 200)

        def body():
            requests = [self.pb.InvokeServiceRequest(Service="pieces", Input=b"%d" % count)]
            read = b"".join(m.Output[:8] for m in client.stub.Invokes(iter(requests), timeout=60))
            self.expect(read, b"".join(b"%08d" % n for n in range(count)))

        self.attempt("streams", body)
        self.over.wait(0.02)

    def left_stream(self, client, chance):
        def body():
            requests = [self.pb.InvokeServiceRequest(Service="pieces", Input=b"5000")]
            call, last = client.stub.Invokes(iter(requests), timeout=60), chance.randrange(50)
            for n, _ in enumerate(call):
                if n >= last:
                    call.cancel()

        self.attempt("streams that are left", body, allowed=("CANCELLED",))
        self.over.wait(0.05)

    def cancelled(self, client, chance):
        def body():
            call = client.stub.InvokeBytes.future(
                self.pb.InvokeServiceRequest(Service="sleeper", Input=b"0.2"), timeout=60)
            self.over.wait(chance.random() * 0.1)
            call.cancel()
            if not call.cancelled():
                call.result()

        self.attempt("calls that are cancelled", body, allowed=("OK", "CANCELLED"))

    def late(self, client, chance):
        # The handler ends soon after: it is late, and not stuck.
        self.attempt(
            "deadlines", lambda: self.invoke(client, "sleeper", b"0.15", timeout=0.12),
            allowed=("OK", "DEADLINE_EXCEEDED"))
        self.over.wait(0.1)

    def chained(self, client, chance):
        data = chance.randbytes(64)
        self.attempt("chains", lambda: self.expect(self.invoke(client, "chain", data), data))

    def victims(self, client, chance):
        self.attempt("callers of killed watchers", lambda: self.invoke(client, "victim", b""),
                     allowed=("OK", "UNAVAILABLE"))
        self.over.wait(0.005)

    def kill(self, client, chance):
        def body():
            replicas = client.stub.GetMeta(self.pb.FunctionRequest(FunctionName="victim"), timeout=30).Instances
            running = [r.Pid for r in replicas if r.Pid > 0 and r.State == "Ready"]
            if running:
                os.kill(chance.choice(running), signal.SIGKILL)

        self.attempt("kills", body)
        self.over.wait(3)

    def updates(self, client, chance):
        number = self.outcomes["updates"]["OK"] + 1
        self.attempt("updates", lambda: self.deploy(
            "updated", f"def Handler(req):\n    return b'version {number}'\n", {"replicas": 2}, "--update"))
        self.over.wait(5)

    def updated(self, client, chance):
        def body():
            reply = self.invoke(client, "updated", b"")
            if not reply.startswith(b"version "):
                raise Failure(f"{reply!r}")

        self.attempt("callers of an updated function", body)
        self.over.wait(0.01)

    def scales(self, client, chance):
        self.attempt("scales", lambda: self.dcf("function", "scale", "scaled", str(chance.randrange(1, 4))))
        self.over.wait(3)

    def scaled(self, client, chance):
        data = chance.randbytes(16)
        self.attempt("callers of a scaled function", lambda: self.expect(self.invoke(client, "scaled", data), data))
        self.over.wait(0.005)

    def talk(self, client, chance):
        self.attempt("a function that prints", lambda: self.expect(self.invoke(client, "talk", b"20"), b"said"))
        self.over.wait(0.01)

    def follow(self, client, chance):
        def body():
            request = self.pb.LogRequest(FunctionName="talk", Tail=chance.randrange(20), Follow=True)
            call, last = client.stub.FollowLog(request, timeout=60), chance.randrange(60)
            for n, _ in enumerate(call):
                if n >= last:
                    call.cancel()

        self.attempt("followers", body, allowed=("CANCELLED",))

    def follow_and_interrupt(self, client, chance):
        def body():
            follow = subprocess.Popen(
                ["env", "--default-signal=INT", self.programs / "dcf", "function", "log", "talk", "--follow", "--tail",
                 "1", "-g", self.address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            try:
                if not follow.stdout.readline():
                    raise Failure(f"dcf function log ended with {follow.wait(60)}")
                self.over.wait(chance.random() * 0.3)
            finally:
                follow.send_signal(signal.SIGINT)
                follow.wait(60)
                follow.stdout.close()

        self.attempt("dcf function log --follow, Ctrl-C", body)
        self.over.wait(0.2)

    def manage(self, client, chance):
        def body():
            names = {f.Name for f in client.stub.List(self.pb.Empty(), timeout=10).Functions}
            if names != set(FUNCTIONS):
                raise Failure(f"the list has {sorted(names)}")
            check = client.channel.unary_unary("/grpc.health.v1.Health/Check")
            self.expect(check(b"", timeout=10), b"\x08\x01")

        self.attempt("list and health", body)
        self.over.wait(0.5)

    WORK = [("small", 4), ("large", 1), ("batch", 4), ("stream", 1), ("left_stream", 1), ("cancelled", 2), ("late", 1),
            ("chained", 2), ("victims", 2), ("kill", 1), ("updates", 1), ("updated", 2), ("scales", 1), ("scaled", 1),
            ("talk", 2), ("follow", 3), ("follow_and_interrupt", 1), ("manage", 1)]

    # The gateway.

    def dcf(self, *arguments):
        done = subprocess.run(
            [self.programs / "dcf", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
            env={**os.environ, "DCF_GATEWAY": self.address})
        if done.returncode:
            raise Failure(f"dcf {' '.join(arguments)}: {done.stderr}")

    def deploy(self, name, code, config, *flags):
        home = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.scratch))
        (home / name).mkdir()
        (home / name / "handler.py").write_text(code)
        path = home / "config.yaml"
        path.write_text(json.dumps({"functions": {name: {"runtime": "python3", **config}}}))
        self.dcf("function", "create", "-f", str(path), *flags)

    def start(self):
        log = self.scratch / "gateway.log"
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                [self.programs / "dcf-gateway", "--listen", "127.0.0.1:0", "--data-dir", self.scratch / "data"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        self.log = log

        def listening():
            if self.process.poll() is not None:
                raise Failure(f"the gateway ended:\n{log.read_text()}")
            return log.read_text().partition("listening on ")[2].partition("\n")[0]

        self.address = wait_for(listening, 30, "the gateway's start")
        for name, (code, config) in FUNCTIONS.items():
            self.deploy(name, code, config)

    def sample(self):
        folder = pathlib.Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        return {
            "RSS, KiB": int(status["VmRSS"].split()[0]), "descriptors": len(os.listdir(folder / "fd")),
            "threads": int(status["Threads"])}

    def work(self, name, seed):
        chance = random.Random(seed)
        with self.client(self.address) as client:
            while not (self.quiet if name == "talk" else self.over).is_set():
                getattr(self, name)(client, chance)

    def run(self):
        from support.client import Client, pb

        self.client, self.pb = Client, pb
        self.start()
        threads = [(name, threading.Thread(target=self.work, args=(name, self.chance.random()), daemon=True))
                   for name, count in self.WORK for _ in range(count)]
        began = time.monotonic()
        for _, thread in threads:
            thread.start()
        while (now := time.monotonic() - began) < self.seconds:
            if self.process.poll() is not None:
                raise Failure(f"the gateway ended with {self.process.returncode}:\n{self.log.read_text()[-4000:]}")
            self.samples.append((now, self.sample()))
            self.over.wait(1)
        self.over.set()
        for name, thread in sorted(threads, key=lambda one: one[0] == "talk"):
            if name == "talk":
                self.quiet.set()
            thread.join(120)
            if thread.is_alive():
                self.note("the end", "no status after 120 s", False, name)
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            status = "nothing within 60 s"
        if status != 0:
            self.note("the end", f"SIGTERM: {status}", False)

    def end(self):
        process = getattr(self, "process", None)
        if process and process.poll() is None:
            process.kill()
            process.wait()


def growth(samples, what, warm_up):
    """How much `what` grew after the warm-up, by a line through the medians of windows; how much of that may be
    noise."""
    kept = [(t, s[what]) for t, s in samples if t >= warm_up]
    size = max(len(kept) // WINDOWS, 1)
    points = [(statistics.median(t for t, _ in part), statistics.median(v for _, v in part))
              for part in (kept[i:i + size] for i in range(0, len(kept) - size + 1, size))]
    if len(points) < 4:
        raise Failure(f"{len(kept)} seconds after the warm-up are too few to tell what grows")
    slope, start = statistics.linear_regression(*zip(*points, strict=True))
    middle = statistics.fmean(t for t, _ in points)
    rest = sum((v - start - slope * t) ** 2 for t, v in points) / (len(points) - 2)
    error = (rest / sum((t - middle) ** 2 for t, _ in points)) ** 0.5
    time_in_all = points[-1][0] - points[0][0]
    return slope * time_in_all, 3 * error * time_in_all + FLOORS[what], statistics.median(v for _, v in points), slope


def report(soak, warm_up):
    """Prints the table; returns what it found, and whether all is well."""
    print(f"{'work':38}{'in all':>9}   outcomes")
    for work, outcomes in sorted(soak.outcomes.items()):
        print(f"{work:38}{sum(outcomes.values()):>9}   "
              + ", ".join(f"{count} {name}" for name, count in outcomes.most_common()))
    print(f"\n{'of the gateway':20}{'median':>10}{'an hour':>12}{'grew by':>12}{'may be noise':>14}")
    found, good = {}, not soak.unexpected
    for what in FLOORS:
        grown, noise, median, slope = growth(soak.samples, what, warm_up)
        good &= grown <= noise
        verdict = "ok" if grown <= noise else "GREW"
        print(f"{what:20}{median:>10.0f}{slope * 3600:>+12.0f}{grown:>+12.1f}{noise:>14.1f}   {verdict}")
        found[what] = {"median": median, "hour": slope * 3600, "grown": grown, "noise": noise}
    total = sum(sum(outcomes.values()) for outcomes in soak.outcomes.values())
    print(f"\n{len(soak.unexpected)} of {total} unexpected")
    for line in soak.unexpected[:20]:
        print(f"    {line}")
    return {"unexpected": len(soak.unexpected), "total": total, "outcomes": soak.outcomes, "grown": found}, good


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=1800)
    options.add_argument("--warm-up", type=float, help="seconds that do not count (default: a quarter, at most 120)")
    options.add_argument("--seed", type=int, default=None, help="of all chance in it")
    options.add_argument("--bin", default=str(ROOT / ".build/release"), help="the folder of the programs")
    options.add_argument("--json", metavar="FILE", help="also write every figure there")
    chosen = options.parse_args()
    with_client()
    warm_up = min(chosen.seconds / 4, 120) if chosen.warm_up is None else chosen.warm_up
    with tempfile.TemporaryDirectory(prefix="dcf-soak-", ignore_cleanup_errors=True) as scratch:
        soak = Soak(pathlib.Path(chosen.bin).resolve(), chosen.seconds, chosen.seed, pathlib.Path(scratch))
        try:
            soak.run()
            found, good = report(soak, warm_up)
        except Failure as failure:
            print(failure, file=sys.stderr)
            sys.exit(1)
        finally:
            soak.end()
    if chosen.json:
        pathlib.Path(chosen.json).write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(not good)


if __name__ == "__main__":
    main()
