"""A real dcf-gateway on a folder of its own, and the real `dcf` that talks to it."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

from . import processes
from .client import Client
from .waiting import wait_until

BIN = pathlib.Path(os.environ.get("DCF_BIN", pathlib.Path(__file__).parents[3] / ".build/debug")).resolve()
FUNCTIONS = pathlib.Path(__file__).parents[1] / "functions"

#: How long a gateway may take until it serves, on a machine that is busy with other things.
START_SECONDS = 30
#: Drain (30 s) and stop (5 s), and a little for the clock.
STOP_SECONDS = 40


class Gateway:
    """One gateway process. Port 0: it says on its standard error which one it got."""

    #: The engine of gateways whose functions are images (pytest --engine docker); None: they are processes.
    docker = None
    #: The one that tests share, while there is one.
    shared = None

    def __init__(self, folder, *flags, environment=None, wrapper=(), preexec=None):
        self.folder = pathlib.Path(folder)
        self.data = self.folder / "data"
        self.work = self.folder / "work"
        self.work.mkdir(parents=True, exist_ok=True)
        self.flags, self.environment, self.wrapper, self.preexec = flags, environment or {}, wrapper, preexec
        self.process, self.address, self._client, self.starts = None, None, None, 0
        #: Functions that deploy() made and nobody deleted.
        self.deployed = set()

    # The process.

    def start(self):
        self.starts += 1
        self.log = self.folder / f"gateway-{self.starts}.log"
        command = [*self.wrapper, str(BIN / "dcf-gateway"), "--data-dir", str(self.data)]
        if self.docker and "--engine" not in self.flags:
            command += ["--engine", "docker"]
        if "--listen" not in self.flags:
            command += ["--listen", "127.0.0.1:0"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command + list(self.flags), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **self.engine, **self.environment}, preexec_fn=self.preexec, start_new_session=True)
        wait_until(lambda: self._listening() or self.process.poll() is not None, START_SECONDS, "listening on")
        assert self.process.poll() is None, f"the gateway ended with {self.process.returncode}:\n{self.text()}"
        self.address = self._listening()
        return self

    @property
    def engine(self):
        """The environment that names the engine."""
        return self.docker.environment if self.docker else {}

    def _listening(self):
        found = re.search(r"listening on ([\w.\[\]:]+:\d+)", self.text())
        return found and found[1]

    @property
    def identity(self):
        """What its containers are labelled with."""
        return (self.data / "gateway.id").read_text().strip()

    def text(self):
        """What it has said so far."""
        return self.log.read_text(errors="replace")

    @property
    def pid(self):
        return self.process.pid

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    def kill(self):
        """kill -9, and what it left is adopted by the tests."""
        self.close_client()
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM; it must end with 0."""
        self.close_client()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(STOP_SECONDS)
        assert status == 0, f"the gateway ended with {status}:\n{self.text()[-4000:]}"

    def end(self):
        """Takes it away, however it is. For fixtures."""
        self.close_client()
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.end()

    def below(self):
        """The processes that it started, and theirs; those of its containers too."""
        found = processes.descendants(self.pid)
        for pid in self.docker.processes(f"io.dcf.gateway={self.identity}") if self.docker else ():
            found |= {pid, *processes.descendants(pid)}
        return found

    def state(self):
        """What must be the same again when everything is taken away that a test made."""
        return {
            "children": len(self.below()),
            "descriptors": len(processes.descriptors(self.pid)),
            "threads": len(processes.threads(self.pid)),
        }

    # Clients.

    @property
    def client(self):
        if self._client is None:
            self._client = Client(self.address)
        return self._client

    def close_client(self):
        if self._client is not None:
            self._client.close()
            self._client = None

    def dcf(self, *arguments, input=None, check=True, cwd=None, environment=None, timeout=150):
        """Runs `dcf` against this gateway."""
        return dcf(*arguments, input=input, check=check, cwd=cwd, timeout=timeout,
                   environment={"DCF_GATEWAY": self.address or "127.0.0.1:1", **self.engine, **(environment or {})})

    # Functions.

    def write(self, name, function=None, files=None, config=None):
        """A folder as write_function() makes it, in the gateway's own scratch folder; returns the config's path."""
        path = write_function(self.work / f"{name}-{time.monotonic_ns()}", name, function, files, config)
        if self.docker:
            # Tests talk to handlers over sockets of this machine.
            config = json.loads(path.read_text())
            config["functions"][name].setdefault("container", {}).setdefault("network", "host")
            path.write_text(json.dumps(config))
            dockerfile = path.parent / name / "Dockerfile"
            if not dockerfile.exists():
                dockerfile.write_text(self.docker.FUNCTION)
        return path

    def deploy(self, name, function=None, *flags, files=None, config=None, check=True):
        """`dcf function create` of one function; returns the finished command."""
        path = self.write(name, function, files, config)
        done = self.dcf("function", "create", "-f", str(path), *flags, check=check)
        if done.returncode == 0:
            self.deployed.add(name)
        return done

    def delete(self, *names):
        self.dcf("function", "delete", *names)
        self.deployed.difference_update(names)

    def replicas(self, name):
        """The process ids of a function's watchers, one a replica; 0 for one that does not run yet."""
        first = [r.Pid for r in self.client.meta(name).Instances]
        if not self.docker:
            return first
        # A container's first process is the one that waits for its watcher.
        own = processes.descendants(self.pid)
        return [pid if pid in own else min(processes.children(pid), default=0) for pid in first]

    def wait_ready(self, name, seconds=30):
        return wait_until(
            lambda: (f := self.client.meta(name)).Status == "Ready" and f, seconds, f"{name} Ready")


def write_function(home, name, function=None, files=None, config=None):
    """Makes a folder with a config.yaml and the function's files; returns the config's path.

    `function` is a folder of functions/ (the name itself by default), `files` maps names to text or bytes."""
    code = home / name
    if files is None or function:
        shutil.copytree(FUNCTIONS / (function or name), code, ignore=shutil.ignore_patterns("__pycache__"))
    code.mkdir(parents=True, exist_ok=True)
    for path, content in (files or {}).items():
        (code / path).parent.mkdir(parents=True, exist_ok=True)
        (code / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    path = home / "config.yaml"
    path.write_text(json.dumps({"functions": {name: {"runtime": "python3", **(config or {})}}}, indent=2) + "\n")
    return path


def dcf(*arguments, input=None, check=True, cwd=None, environment=None, timeout=150):
    """Runs the command line; standard output and error as bytes and text in the result."""
    done = subprocess.run(
        [str(BIN / "dcf"), *arguments], input=input if input is not None else b"", capture_output=True, cwd=cwd,
        env={**os.environ, **(environment or {})}, timeout=timeout)
    done.error = done.stderr.decode(errors="replace")
    done.text = done.stdout.decode(errors="replace")
    if check:
        assert done.returncode == 0, f"dcf {' '.join(arguments)} ended with {done.returncode}:\n{done.error}{done.text}"
    return done
