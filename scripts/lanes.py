#!/usr/bin/env python3
"""Runs all end-to-end tests in lanes, for scripts/end-to-end.sh.

The lanes run at the same time, because most tests wait more than they compute. The tests that measure time or memory
(the mark `alone`) run after them, with nothing beside.

What a lane prints goes to a file and is printed whole when the lane ends. The exit status is the highest one of all.
"""
import contextlib
import os
import pathlib
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parents[1] / "Tests"
#: How long the tests may take to clean up after an interrupt.
PATIENCE = 60


def watcher(*arguments):
    """The watcher alone. The tests play the gateway."""
    return "Watcher", ["--timeout", "180", *arguments]


def processes(lane):
    return "EndToEnd", ["--lane", lane]


def images(lane):
    """Some tests run once more, with functions that are images: those where this can make a difference. Without an
    engine they are skipped, and say why."""
    names = IMAGES[lane] | IMAGES_AT_FULL_LENGTH if os.environ.get("DCF_TEST_FULL") == "1" else IMAGES[lane]
    return "EndToEnd", ["--engine", "docker", "-m", "not process", "--lane", lane,
                        *(f"test_{name}.py" for name in sorted(names))]


#: The files with tests that run once more for every change.
IMAGES = {
    "engine": {"cancellation", "chains", "concurrency", "deadlines", "endings", "handlers", "health", "supervision",
               "updates"},
    "alone": {"deadlines"},
}
IMAGES_AT_FULL_LENGTH = {"cancellation", "chains", "context", "invoke"}

#: The names are those of Tests/EndToEnd/support/lanes.py.
TOGETHER = {
    "first": [watcher("-m", "not alone"), processes("first")],
    "second": [processes("second")],
    "engine": [processes("engine"), images("engine")],
}
AFTERWARDS = {"alone": [watcher("-m", "alone"), processes("alone"), images("alone")]}


class Interrupted(Exception):
    pass


class Lane(threading.Thread):
    """Runs its parts one after another, each in a session of its own, so that an interrupt reaches it once."""

    def __init__(self, name, parts, folder, ended):
        super().__init__(name=name, daemon=True)
        self.parts, self.log, self.ended = parts, folder / name, ended
        self.status, self.seconds, self.is_shown = 0, 0.0, False
        self._lock, self._process, self._is_stopped = threading.Lock(), None, False

    def run(self):
        try:
            self._run_parts()
        except BaseException:
            self.status = 70
            raise
        finally:
            self.ended.put(self)

    def _run_parts(self):
        began = time.monotonic()
        with open(self.log, "wb") as log:
            for folder, arguments in self.parts:
                with self._lock:
                    if self._is_stopped:
                        break
                    log.write(f"== {self.name}: Tests/{folder} {' '.join(arguments)} ==\n".encode())
                    log.flush()
                    self._process = subprocess.Popen(
                        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments], cwd=TESTS / folder,
                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
                status = self._process.wait()
                self.status = max(self.status, status if status >= 0 else 128 - status)
        self.seconds = time.monotonic() - began

    def stop(self, number):
        with self._lock:
            self._is_stopped = True
            if self._process and self._process.poll() is None:
                os.killpg(self._process.pid, number)

    def show(self):
        self.is_shown = True
        sys.stdout.flush()
        if self.log.exists():
            sys.stdout.buffer.write(self.log.read_bytes())
        print(f"== {self} ==\n", flush=True)

    def __str__(self):
        verdict = "passed" if self.status == 0 else f"failed (status {self.status})"
        return f"lane {self.name:6} {int(self.seconds) // 60:3} min {int(self.seconds) % 60:02} s  {verdict}"


def run(lanes, folder):
    """Runs lanes beside each other, to their end; prints each when it ends."""
    ended = queue.Queue()
    lanes = [Lane(name, parts, folder, ended) for name, parts in lanes.items()]
    print(f"running: {', '.join(lane.name for lane in lanes)} (until each ends, its output is in {folder})", flush=True)
    try:
        for lane in lanes:
            lane.start()
        for _ in lanes:
            ended.get().show()
    except Interrupted:
        stop(lanes)
        raise
    return lanes


def stop(lanes):
    """Has the tests that run clean up and end, and ends those that do not."""
    end = time.monotonic() + PATIENCE
    try:
        for lane in lanes:
            lane.stop(signal.SIGINT)
        for lane in lanes:
            lane.join(max(0, end - time.monotonic()))
    except Interrupted:
        pass
    for lane in lanes:
        lane.stop(signal.SIGKILL)
        lane.join()
    # An interrupt may have ended what reads this.
    with contextlib.suppress(BrokenPipeError):
        for lane in lanes:
            if not lane.is_shown:
                lane.show()


def main():
    def interrupt(number, _):
        raise Interrupted(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    with tempfile.TemporaryDirectory(prefix="dcf-lanes-") as folder:
        try:
            lanes = run(TOGETHER, pathlib.Path(folder)) + run(AFTERWARDS, pathlib.Path(folder))
        except Interrupted as interrupted:
            sys.exit(interrupted.args[0])
    print("== lanes ==", *lanes, sep="\n")
    failed = [lane.name for lane in lanes if lane.status]
    if failed:
        print(f"lanes that failed: {', '.join(failed)}")
    sys.exit(max(lane.status for lane in lanes))


if __name__ == "__main__":
    main()
