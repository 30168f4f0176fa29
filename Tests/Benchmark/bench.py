#!/usr/bin/env python3
"""Measures this gateway against a bare server on the same gRPC library, both started here.

    make bench                          everything, 15 rounds
    make bench ARGS="--rounds 5 --only calls"

calls     an echo function through the gateway, and the bare server, in turn (A B A B ...); what counts is the median
          of the ratios of the rounds, so that a machine whose speed drifts hurts both alike:
              small   64 bytes, 4 connections with 16 calls each in flight: calls a second
              single  64 bytes, one call at a time: median latency
              large   1 MiB, 2 connections with 2 calls each in flight: calls a second
          and the processor time of a call, the watcher's included
tail      64 bytes at 4,000, 6,000 and 8,500 calls a second that do not wait for one another (Poisson arrivals), 20 s
          each in turn: percentiles of the latency from the moment when a call was due
model     the same model behind a Handler that loads it once and one that loads it for each call
start     `dcf function create` of an echo whose environment is there, from exec to exit; a watcher from exec to Ready;
          resident memory 10 s after Ready, before any call

Each reply is counted, with its bytes: a run with one missing is an error and no figure.
Needs h2load, protoc, grpc_cpp_plugin and g++ (make bench installs what is missing); the standard library alone.
"""
import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "dcf-test"
PATH = "/pb.Gateway/Invoke"


class Failure(Exception):
    """A measurement that is none."""


# The load.


@dataclasses.dataclass(frozen=True)
class Work:
    size: int
    calls: int
    connections: int
    streams: int


WORKS = {"small": Work(64, 100_000, 4, 16), "single": Work(64, 5_000, 1, 1), "large": Work(1 << 20, 500, 2, 2)}


@dataclasses.dataclass(frozen=True)
class Figures:
    rate: float
    p50_us: float
    p99_us: float
    #: The processor time of the server for a call, in microseconds.
    cpu_us: float = 0


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def request(function, data):
    """An InvokeServiceRequest in gRPC's own frame."""
    name = function.encode()
    message = b"\x0a" + varint(len(name)) + name + b"\x12" + varint(len(data)) + data
    return b"\0" + struct.pack(">I", len(message)) + message


def load(port, body, work, scratch, reply_size=None, path=PATH):
    """Runs h2load once and returns its figures; each of the replies must be there."""
    data, log = scratch / "body", scratch / "log"
    data.write_bytes(body)
    log.unlink(missing_ok=True)
    done = subprocess.run(
        ["h2load", "--requests", str(work.calls), "--clients", str(work.connections), "--threads", "1",
         "--max-concurrent-streams", str(work.streams), "--data", str(data), "--log-file", str(log),
         "--header", "content-type: application/grpc", "--header", "te: trailers", f"http://127.0.0.1:{port}{path}"],
        capture_output=True, text=True)
    said = done.stdout
    succeeded = re.search(r"(\d+) succeeded", said)
    received = re.search(r"\((\d+)\) data", said)
    rate = re.search(r"([\d.]+) req/s", said)
    if not (succeeded and received and rate):
        raise Failure(f"h2load said nothing that could be read:\n{said}{done.stderr}")
    least = work.calls * ((work.size if reply_size is None else reply_size) + 5)
    if int(succeeded[1]) != work.calls or int(received[1]) < least:
        raise Failure(f"{succeeded[1]} of {work.calls} calls, {received[1]} of at least {least} bytes\n{said}")
    took = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    return Figures(float(rate[1]), took[len(took) // 2], took[len(took) * 99 // 100])


# What is measured.


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(0.02)
    return value


def processor():
    """What the processor calls itself, and how many of it there are."""
    name = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
    return f"{os.cpu_count()} x {name[1] if name else 'unknown processor'}"


def processor_micros(root):
    """The processor time of a process and of its descendants that exist, in microseconds."""
    children = {}
    for line in subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True).stdout.splitlines():
        pid, parent = line.split()
        children.setdefault(int(parent), []).append(int(pid))
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        todo += children.get(pid, [])
        for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(task.read_text().split()[0])
    return total / 1000


def build(name):
    """Compiles a program of this folder when its source is newer than what the cache has."""
    out = CACHE / "bare"
    program = out / name
    sources = [HERE / f"{name}.cc", ROOT / "Protos/gateway.proto"]
    if program.exists() and all(program.stat().st_mtime > s.stat().st_mtime for s in sources):
        return program
    print(f"compiling {name}", file=sys.stderr)
    out.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["protoc", f"-I{ROOT}/Protos", f"--cpp_out={out}", f"--grpc_out={out}",
         f"--plugin=protoc-gen-grpc={shutil.which('grpc_cpp_plugin')}", "gateway.proto"], check=True)
    subprocess.run(
        ["g++", "-O2", "-std=c++17", f"-I{out}", str(sources[0]), f"{out}/gateway.pb.cc", f"{out}/gateway.grpc.pb.cc",
         "-o", str(program), "-lgrpc++", "-lgrpc", "-lgpr", "-lprotobuf", "-labsl_synchronization", "-lpthread"],
         check=True)
    return program


class Bench:
    def __init__(self, programs, rounds, scratch):
        self.programs, self.rounds, self.scratch = programs, rounds, scratch
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(45)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start_gateway(self):
        log = self.scratch / "gateway.log"
        with open(log, "wb") as out:
            process = subprocess.Popen(
                [self.programs / "dcf-gateway", "--listen", "127.0.0.1:0", "--data-dir", self.scratch / "data"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.running.append(process)
        found = wait_for(lambda: re.search(r"listening on [\d.]+:(\d+)", log.read_text()), 30, "the gateway's start")
        self.gateway, self.port = process, int(found[1])

    def start_bare(self):
        self.bare_port = free_port()
        process = subprocess.Popen(
            [build("bare_server"), f"127.0.0.1:{self.bare_port}"], stdout=subprocess.PIPE, text=True)
        self.running.append(process)
        self.bare = process
        if process.stdout.readline() != "ready\n":
            raise Failure("the bare server did not start")

    def dcf(self, *arguments):
        done = subprocess.run(
            [self.programs / "dcf", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            env={**os.environ, "DCF_GATEWAY": f"127.0.0.1:{self.port}"})
        if done.returncode:
            raise Failure(f"dcf {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def folder(self, name, config=None, more=()):
        """A folder with the function and its config; returns the config's path."""
        home = self.scratch / f"functions-{name}"
        shutil.copytree(HERE / "functions" / name, home / name)
        for file in more:
            shutil.copy(file, home / name)
        path = home / "config.yaml"
        path.write_text(json.dumps({"functions": {name: {"runtime": "python3", **(config or {})}}}))
        return str(path)

    # The parts.

    def calls(self, works):
        self.dcf("function", "create", "-f", self.folder("echo"))
        self.start_bare()
        print(f"\n{'work':8}{'gateway':>12}{'bare':>12}{'ratio':>8}{'low':>7}{'high':>7}   of {self.rounds} rounds")
        result = {}
        for name in works:
            work = WORKS[name]
            body = request("echo", b"a" * work.size)
            for port in (self.port, self.bare_port):
                load(port, body, work, self.scratch)  # Warm, and not counted.
            rounds = []
            for n in range(self.rounds):
                ours, bare = (self.port, "ours"), (self.bare_port, "bare")
                turn = [ours, bare] if n % 2 == 0 else [bare, ours]
                rounds.append({who: self.counted(port, body, work) for port, who in turn})
            figure = "p50_us" if name == "single" else "rate"
            ratios = sorted(getattr(r["ours"], figure) / getattr(r["bare"], figure) for r in rounds)
            medians = {who: {f.name: statistics.median(getattr(r[who], f.name) for r in rounds)
                             for f in dataclasses.fields(Figures)} for who in ("ours", "bare")}
            unit = "us" if name == "single" else "/s"
            ratio = statistics.median(ratios)
            print(f"{name:8}{medians['ours'][figure]:>10.0f}{unit}{medians['bare'][figure]:>10.0f}{unit}"
                  f"{ratio:>8.2f}{ratios[0]:>7.2f}{ratios[-1]:>7.2f}   "
                  + ("median latency, less is better" if name == "single" else "calls a second, more is better"))
            time_ratio = statistics.median(r["ours"].cpu_us / r["bare"].cpu_us for r in rounds)
            print(f"{'':8}{medians['ours']['cpu_us']:>10.1f}us{medians['bare']['cpu_us']:>10.1f}us{time_ratio:>8.2f}"
                  f"{'':14}   processor time of a call, less is better")
            result[name] = {"ratio": ratio, "ratios": ratios, "cpu_ratio": time_ratio, **medians}
        return result

    def counted(self, port, body, work):
        """A load with the processor time that the server on this port took for it."""
        server = self.gateway if port == self.port else self.bare
        before = processor_micros(server.pid)
        figures = load(port, body, work, self.scratch)
        return dataclasses.replace(figures, cpu_us=(processor_micros(server.pid) - before) / work.calls)

    def tail(self, rates=(4_000, 6_000, 8_500), seconds=20):
        self.dcf("function", "create", "-f", self.folder("echo"))
        self.start_bare()
        client, rounds, result = build("open_loop"), min(self.rounds, 5), {}
        print(f"\n{'calls a second':16}{'gateway':>34}{'bare':>34}{'ratios':>22}   of {rounds} rounds")
        for rate in rates:
            seen = {"ours": [], "bare": []}
            for n in range(rounds):
                for who, port in (("ours", self.port), ("bare", self.bare_port))[::1 if n % 2 == 0 else -1]:
                    done = subprocess.run(
                        [client, f"127.0.0.1:{port}", "echo", str(rate), str(seconds), "64", "4", str(n)],
                        capture_output=True, text=True)
                    if done.returncode:
                        raise Failure(f"open_loop: {done.stderr}")
                    figures = json.loads(done.stdout)
                    if figures["failures"]:
                        raise Failure(f"{figures['failures']} of {figures['calls']} calls failed at {rate} a second")
                    seen[who].append(figures)
            names = ("p50_us", "p99_us", "p999_us")
            medians = {who: {name: statistics.median(f[name] for f in seen[who]) for name in (*names, "max_us")}
                       for who in seen}
            pairs = list(zip(seen["ours"], seen["bare"], strict=True))
            ratios = {name: statistics.median(ours[name] / bare[name] for ours, bare in pairs) for name in names}
            print(f"{rate:<16,}" + "".join(
                f"{'/'.join(f'{medians[who][name]:.0f}' for name in names):>32}us" for who in ("ours", "bare"))
                + f"{'/'.join(f'{ratios[name]:.2f}' for name in names):>22}   p50/p99/p99.9, less is better")
            result[str(rate)] = {"ratios": ratios, **medians}
        return result

    def model(self):
        python = CACHE / "bench" / "bin" / "python"
        if not python.exists():
            print("making a venv with numpy", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "venv", CACHE / "bench"], check=True)
            subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "numpy"], check=True)
        model = HERE / "functions/model.py"
        subprocess.run([python, model], cwd=self.scratch, check=True)
        weights = self.scratch / "weights.pickle"
        config = {"python": str(CACHE / "bench")}
        work = {"mlp-once": Work(784 * 4, 2_000, 1, 1), "mlp-each": Work(784 * 4, 200, 1, 1)}
        seen = {name: [] for name in work}
        for name in work:
            self.dcf("function", "create", "-f", self.folder(name, config, [model, weights]))
        for _ in range(max(3, self.rounds // 3)):
            for name in work:
                body = request(name, struct.pack("<784f", *[i / 784 for i in range(784)]))
                seen[name].append(load(self.port, body, work[name], self.scratch, reply_size=1))
        print(f"\nthe same model ({weights.stat().st_size / 1e6:.1f} MB of weights), one call at a time")
        print(f"{'the Handler is constructed':30}{'p50':>10}{'p99':>10}{'calls a second':>16}")
        result = {}
        for name, words in (("mlp-once", "once"), ("mlp-each", "for each call")):
            row = {
                f.name: statistics.median(getattr(s, f.name) for s in seen[name]) for f in dataclasses.fields(Figures)}
            print(f"{words:30}{row['p50_us'] / 1000:>7.2f} ms{row['p99_us'] / 1000:>7.2f} ms{row['rate']:>16.0f}")
            result[name] = row
        share = 1 - result["mlp-once"]["p50_us"] / result["mlp-each"]["p50_us"]
        print(f"constructing it is {share:.0%} of a call that constructs it")
        return result

    def start(self):
        path = self.folder("echo") if not (self.scratch / "functions-echo").exists() else str(
            self.scratch / "functions-echo/config.yaml")
        created = []
        for _ in range(11):
            self.dcf("function", "delete", "echo") if "echo" in self.dcf("function", "list") else None
            began = time.monotonic()
            self.dcf("function", "create", "-f", path)
            created.append(time.monotonic() - began)
        ready = [self.watcher_ready() for _ in range(11)]
        result = {
            "create_ms": statistics.median(created[1:]) * 1000,
            "watcher_ready_ms": statistics.median(ready[1:]) * 1000,
        }
        print(f"\n{'dcf function create echo, exec to exit':46}{result['create_ms']:>8.0f} ms")
        print(f"{'a watcher, exec to Ready':46}{result['watcher_ready_ms']:>8.0f} ms")
        return result

    def memory(self):
        """Must come before any call: a gateway with one function, 10 s after Ready."""
        self.dcf("function", "create", "-f", self.folder("echo"))
        python = shutil.which("python3")
        real = subprocess.run([python, "-c", "import sys; print(sys.executable)"], capture_output=True,
                              text=True).stdout.strip()
        plain = subprocess.Popen([real, "-c", "input()"], stdin=subprocess.PIPE)
        time.sleep(10)
        watcher = int(subprocess.run(
            ["ps", "--ppid", str(self.gateway.pid), "-o", "pid="], capture_output=True, text=True).stdout.split()[0])
        result = {"gateway": resident(self.gateway.pid), "watcher": resident(watcher), "python": resident(plain.pid)}
        plain.communicate(b"\n")
        print(f"\n{'resident, gateway with one function':46}{result['gateway'] / 1e6:>8.1f} MB")
        print(f"{'resident, echo watcher':46}{result['watcher'] / 1e6:>8.1f} MB")
        print(f"{'  above ' + os.path.basename(real) + ' -c input()':46}"
              f"{(result['watcher'] - result['python']) / 1e6:>8.1f} MB")
        return result

    def watcher_ready(self):
        """Seconds from the exec of a watcher until its Ready frame, as the gateway would read it."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.scratch))
        environment = {
            "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"),
            "HANDLER_DIR": str(HERE / "functions/echo"),
            "HANDLER_FILE": "handler.py", "HANDLER_NAME": "Handler", "DCF_LINK": str(folder / "link"),
            "DCF_TOKEN": "bench"}
        python = subprocess.run(
            ["python3", "-c", "import sys; print(sys.executable)"], capture_output=True, text=True).stdout.strip()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(environment["DCF_LINK"])
            listener.listen()
            listener.settimeout(20)
            began = time.monotonic()
            watcher = subprocess.Popen(
                [self.programs / "dcf-watcher", "--parent", str(os.getpid()), "--python", python], env=environment)
            try:
                link, _ = listener.accept()
                with link:
                    link.settimeout(20)
                    read_frame(link, 1)
                    welcome = json.dumps(
                        {"name": "echo", "version": 1, "parameters": {}, "timeout": {"call": 60, "start": 60},
                         "limits": {"memory": None, "cpu": None}}).encode()
                    head = struct.pack("<HQ", 1, 64 << 20)
                    link.sendall(struct.pack("<IBBHQ", len(head) + len(welcome), 2, 0, len(head), 0) + head + welcome)
                    read_frame(link, 3)
                    return time.monotonic() - began
            finally:
                watcher.kill()
                watcher.wait()


def read_frame(link, kind):
    """Reads one frame of the link, which must be of that kind."""
    header = link.recv(16, socket.MSG_WAITALL)
    if len(header) < 16:
        raise Failure("the watcher closed its link")
    length, seen = struct.unpack_from("<IB", header)
    body = link.recv(length, socket.MSG_WAITALL) if length else b""
    if seen != kind:
        raise Failure(f"the watcher sent frame {seen} where {kind} is due: {body[:2000]!r}")


def resident(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) * 1024


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--only", default="memory,calls,tail,model,start",
                         help="of memory, calls, tail, model, start")
    options.add_argument("--works", default=",".join(WORKS), help="of " + ", ".join(WORKS))
    options.add_argument("--bin", default=str(ROOT / ".build/release"), help="the folder of the programs")
    options.add_argument("--json", metavar="FILE", help="also write every figure there")
    chosen = options.parse_args()
    parts, result = chosen.only.split(","), {"processor": processor()}
    print(result["processor"])
    with tempfile.TemporaryDirectory(prefix="dcf-bench-") as scratch:
        try:
            for part in ("memory", "calls", "tail", "model", "start"):
                if part not in parts:
                    continue
                # A gateway of its own each, so that what one part leaves does not weigh on the next.
                folder = pathlib.Path(scratch) / part
                folder.mkdir()
                with Bench(pathlib.Path(chosen.bin).resolve(), chosen.rounds, folder) as bench:
                    bench.start_gateway()
                    arguments = [chosen.works.split(",")] if part == "calls" else []
                    result[part] = getattr(bench, part)(*arguments)
        except Failure as failure:
            sys.exit(f"bench: {failure}")
    if chosen.json:
        pathlib.Path(chosen.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
