"""The honest count: what was asked, what ran, what was answered.

A request carries an id. The handler of functions/ledger writes `start ID` and `end ID`, each with one write, and
answers with the id's hash. The client notes one terminal status for each id."""
import collections
import hashlib
import pathlib
import threading
import time

import grpc

from .client import Client


def answer(ident):
    return hashlib.sha256(ident.encode()).hexdigest().encode()


class Ledger:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.path.touch()
        # Its writers are nobody, where they are containers.
        self.path.chmod(0o666)
        self.sent, self.statuses = {}, {}
        self.lock = threading.Lock()

    def record(self, ident, status):
        with self.lock:
            assert ident not in self.statuses, f"two terminal statuses for {ident}"
            self.statuses[ident] = status

    def ran(self):
        """How often each id began, and ended."""
        starts, ends = collections.Counter(), collections.Counter()
        text = self.path.read_text()
        assert not text or text.endswith("\n"), f"half a line at the end of the ledger: {text[-40:]!r}"
        for line in text.splitlines():
            kind, ident = line.split()
            (starts if kind == "start" else ends)[ident] += 1
        return starts, ends

    def check(self):
        """Fails on calls that are lost, ran twice, are wrong, OK without an end, untrue, or never asked for. Returns
        the counts by status."""
        starts, ends = self.ran()
        lost = [i for i in self.sent if i not in self.statuses]
        twice = [i for i, n in starts.items() if n > 1]
        wrong = [i for i, s in self.statuses.items() if s[0] == "OK" and s[1] != answer(i)]
        hollow = [i for i, s in self.statuses.items() if s[0] == "OK" and not ends[i]]
        untrue = [i for i, s in self.statuses.items() if s[0] != "OK" and s[2] == "no" and starts[i]]
        foreign = [i for i in starts if i not in self.sent]
        assert not foreign, f"{len(foreign)} calls ran that nobody sent: {foreign[:3]}"
        assert not lost, f"{len(lost)} calls without a terminal status: {lost[:3]}"
        assert not twice, f"{len(twice)} calls ran twice: {twice[:3]}"
        assert not wrong, f"{len(wrong)} wrong replies: {wrong[:3]}"
        assert not hollow, f"{len(hollow)} answered OK that never ended: {hollow[:3]}"
        assert not untrue, f"{len(untrue)} said not executed, and were: {untrue[:3]}"
        return collections.Counter(s[0] for s in self.statuses.values())


class Load:
    """Keeps a number of calls in flight on functions that run functions/ledger, until stopped."""

    def __init__(self, address, ledger, functions, in_flight=64, milliseconds=5, deadline=30):
        self.ledger, self.functions, self.ms, self.deadline = ledger, functions, milliseconds, deadline
        self.clients = [Client(address) for _ in range((in_flight + 63) // 64)]
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(in_flight)]
        self.latencies = []
        # Those that were sent and have no status yet, by their client.
        self.pending = [set() for _ in self.clients]

    def accepted(self):
        """The calls that the gateway has taken in and not answered a moment ago, queued ones too."""
        accepted = set()
        for client, pending in zip(self.clients, self.pending, strict=True):
            sent = set(pending)
            client.catch_up()
            accepted |= sent
        return accepted

    def _run(self, n):
        client, pending, count = self.clients[n % len(self.clients)], self.pending[n % len(self.clients)], 0
        while not self.ending.is_set():
            ident, count = f"{id(self):x}-{n}-{count}", count + 1
            name = self.functions[(n + count) % len(self.functions)]
            self.ledger.sent[ident] = name
            began = time.monotonic()
            call = client.begin(name, f"{ident} {self.ms}".encode(), self.deadline)
            pending.add(ident)
            try:
                reply = call.result(self.deadline + 1).Output
                self.ledger.record(ident, ("OK", reply, "yes", name))
                self.latencies.append((name, began, time.monotonic() - began))
            except grpc.FutureTimeoutError:
                return  # Lost: no status by deadline + 1 s, which check() tells.
            except grpc.RpcError as error:
                trailers = dict(error.trailing_metadata() or ())
                self.ledger.record(
                    ident, (error.code().name, error.details(), trailers.get("dcf-executed"), name))
                if self.ending.wait(0.01):
                    return
            finally:
                pending.discard(ident)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(self.deadline + 5)
            assert not thread.is_alive(), "a caller hangs"
        for client in self.clients:
            client.close()
        self.clients = []

    def __exit__(self, *_):
        if self.clients:
            self.stop()
