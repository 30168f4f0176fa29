"""A Docker engine of the tests' own, on folders and a socket of its own, with images that need no registry.

Its containers have no network, and its builds have the host's, so that nothing of the machine's network is changed.
What takes long to make is kept in ~/.cache/dcf-test/images: a Debian with a Python, by debootstrap.
"""
import base64
import contextlib
import fcntl
import functools
import json
import os
import pathlib
import platform
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from .gateway import BIN
from .ports import free_port
from .processes import command, descendants, kill
from .waiting import wait_until

ROOT = pathlib.Path(__file__).parents[3]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "dcf-test/images"
MIRROR = os.environ.get("DCF_TEST_DEBIAN", "http://deb.debian.org/debian")

START_SECONDS = 60
#: debootstrap, and packages in a build.
FETCH_SECONDS = 540

#: How the gateway runs containers, as far as the engine is concerned.
HARDENED = ("--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges", "--pids-limit", "512", "--user", "65534:65534")


#: An OCI runtime whose containers see one more folder, where the tests have it.
RUNTIME = """#!/bin/sh
runc=$(PATH=$PATH:/usr/sbin:/sbin command -v runc)
for word in "$@"; do
    if [ "$word" = create ]; then
        previous=
        for each in "$@"; do
            if [ "$previous" = --bundle ]; then
                mount='{"destination":"SHARED","type":"bind","source":"SHARED","options":["rbind","rw"]}'
                sed -i 's|"mounts":\\[|&'"$mount"',|' "$each/config.json"
            fi
            previous=$each
        done
    fi
done
exec "$runc" "$@"
"""


class Unavailable(Exception):
    """Why there can be no engine here: the reason for a skip."""


#: Who may use a registry that asks: a line of htpasswd.
LOGIN = "me:$2b$05$abcdefghijklmnopqrstuutXu9KzOt.1yBoZUeFWoT/914/JfszCO"
PASSWORD = "open-sesame"


def logged_in(folder, registry):
    """The environment of a `docker login` to a registry for LOGIN, and what stands in its config."""
    config = pathlib.Path(folder) / "docker"
    config.mkdir()
    auth = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    (config / "config.json").write_text(json.dumps({"auths": {registry: {"auth": auth}}}))
    return {"DOCKER_CONFIG": str(config)}, auth


class Docker:
    """The engine, and the command line on it."""

    #: A function on the tests' own Debian, in the form of the first guides: any base, the watcher's folder, the code.
    FUNCTION = """
ARG REGISTRY
ARG WATCHER_VERSION
FROM ${REGISTRY}/watcher:${WATCHER_VERSION} as watcher
FROM dcf-test/bookworm
ARG handler_file=handler.py
ARG handler_name=Handler
ENV HANDLER_FILE=/dcf/handler/${handler_file} HANDLER_NAME=${handler_name}
COPY --from=watcher /dcf/watcher /dcf/watcher
COPY . /dcf/handler
ENTRYPOINT ["/dcf/watcher/dcf-watcher"]
"""

    #: Those that were started.
    made = []
    #: Whether this process may start engines: not in a lane that runs beside the lane of the engines.
    is_allowed = True

    #: What dockerd is started through, and what it is told beside its folders.
    through = ()
    flags = ("--bridge", "none", "--iptables=false", "--ip6tables=false")

    def __init__(self, folder=None, shared=None):
        """`shared`: a folder, not below /tmp, that all its containers can write to."""
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="dcf-d-"))
        self.shared = shared
        self.host = f"unix://{self.folder}/docker.sock"
        self.process = None
        self._registries = {}
        self.made.append(self)

    def start(self):
        if "DCF_TEST_DOCKER_HOST" in os.environ:
            if self.shared:
                raise Unavailable("an engine that DCF_TEST_DOCKER_HOST names does not share the tests' folder")
            self.host = os.environ["DCF_TEST_DOCKER_HOST"]
            return self
        return self.launch()

    def launch(self):
        assert self.is_allowed, "this lane starts no engine; name the fixture that starts it in lanes.ENGINES"
        if os.geteuid() != 0:
            raise Unavailable("a Docker engine of the tests' own needs root; DCF_TEST_DOCKER_HOST names another")
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        missing = [each for each in ("docker", "dockerd", "debootstrap") if not shutil.which(each, path=path)]
        if missing:
            raise Unavailable(f"{', '.join(missing)} not installed (apt-get install docker.io debootstrap)")
        log, flags = self.folder / "log", list(self.flags)
        if self.shared:
            runtime = self.folder / "runtime"
            runtime.write_text(RUNTIME.replace("SHARED", str(self.shared)))
            runtime.chmod(0o755)
            flags += ["--add-runtime", f"shared={runtime}", "--default-runtime", "shared"]
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                [*self.through, "dockerd", "--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec",
                 "--pidfile", f"{self.folder}/pid", "--host", self.host, *flags],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                env={**os.environ, "PATH": path})
        def answers():
            assert self.process.poll() is None, "dockerd has ended"
            return self("version", check=False).returncode == 0

        try:
            wait_until(answers, START_SECONDS, "dockerd answers", every=0.1)
        except AssertionError:
            lines = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            self.stop()
            raise Unavailable(f"dockerd cannot be started here; it said: {lines[-1][:300]}") from None
        return self

    @classmethod
    def running(cls):
        """The processes of all engines, those of their containers not among them."""
        found = set()
        for engine in cls.made:
            if engine.process:
                found |= {engine.process.pid, *descendants(engine.process.pid)}
        return found

    def halt(self):
        """Ends it and its containers; `launch` starts it again with all that it had."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def crash(self):
        """kill -9 of it and its containerd; its containers go on, until `launch` starts it again."""
        below = {each for each in descendants(self.process.pid) if command(each).startswith("containerd ")}
        for each in (self.process.pid, *below):
            kill(each)
        self.process.wait()
        self.process = None
        for each in below:
            # Ours since its parent is gone; while it is known, the next takes it for alive.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(each, 0)

    def stop(self):
        for registry in self._registries.values():
            registry.terminate()
            registry.wait()
        if self.process:
            self.halt()
        # What an engine that was killed left mounted would be walked into.
        for line in reversed(pathlib.Path("/proc/mounts").read_text().splitlines()):
            if line.split()[1].startswith(f"{self.folder}/"):
                subprocess.run(["umount", "-l", line.split()[1]])
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def environment(self):
        return {"DOCKER_HOST": self.host, "DOCKER_CONFIG": str(self.folder / "config"), "DOCKER_BUILDKIT": "0",
                "DOCKER_BUILD_NETWORK": "host"}

    def __call__(self, *arguments, check=True, input=None, timeout=FETCH_SECONDS, text=True, **options):
        done = subprocess.run(["docker", *map(str, arguments)], input=input, capture_output=True, text=text,
                              timeout=timeout, env={**os.environ, **self.environment}, **options)
        if check:
            assert done.returncode == 0, f"docker {arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done

    # Images.

    def inspect(self, name):
        return json.loads(self("inspect", name).stdout)[0]

    def size(self, name):
        return self.inspect(name)["Size"]

    def has(self, name):
        return self("image", "inspect", name, check=False).returncode == 0

    def build(self, folder, tag, *flags, dockerfile=None, check=True):
        """An image of a folder; `dockerfile`: its text, where it is not in the folder."""
        file = ()
        if dockerfile is not None:
            path = self.folder / f"Dockerfile-{time.monotonic_ns()}"
            path.write_text(dockerfile)
            file = ("--file", path)
        return self("build", "--network", "host", "--tag", tag, *file, *flags, folder, check=check)

    def debian(self, release="bookworm", packages="python3,ca-certificates"):
        """A small Debian with its Python, as debootstrap makes it; kept from one run to the next."""
        name = f"dcf-test/{release}"
        if self.has(name):
            return name
        CACHE.mkdir(parents=True, exist_ok=True)
        kept = CACHE / f"{release}-{packages.replace(',', '-')}.tar"
        with open(CACHE / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                tree = self.folder / release
                done = subprocess.run(
                    ["debootstrap", "--variant=minbase", f"--include={packages}", release, tree, MIRROR],
                    capture_output=True, text=True, timeout=FETCH_SECONDS,
                    env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
                if done.returncode != 0:
                    raise Unavailable(f"debootstrap of {release} failed: {(done.stdout + done.stderr)[-300:]}")
                for each in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale",
                             "usr/share/man"):
                    shutil.rmtree(tree / each, ignore_errors=True)
                    (tree / each).mkdir(parents=True)
                (tree / "var/cache/apt/archives/partial").mkdir(parents=True)
                subprocess.run(["tar", "-C", tree, "-cf", f"{kept}.new", "."], check=True)
                os.rename(f"{kept}.new", kept)
                shutil.rmtree(tree)
        self("import", "--change", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", kept, name)
        return name

    def python(self, version):
        """The same with one of this machine's interpreters as `python3`; it is called as the official image is, too."""
        name = f"dcf-test/python:{version}"
        if self.has(name):
            return name
        found = sorted((pathlib.Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python{version}"))
        if not found:
            raise Unavailable(f"no Python {version} on this machine")
        context = self.folder / f"python-{version}"
        context.mkdir()
        tree = found[-1].parents[1]
        library = tree / f"lib/python{version}"
        shutil.copytree(library, context / f"lib/python{version}", symlinks=True, ignore=lambda folder, names: [
            each for each in names if each in ("__pycache__", "test", "idlelib", "tkinter", "turtledemo", "ensurepip")
            or each.startswith("config-") or (each != "pip" and folder.endswith("site-packages"))])
        (context / "bin").mkdir()
        shutil.copy(found[-1].resolve(), context / f"bin/python{version}")
        (context / "bin/python3").symlink_to(f"python{version}")
        for each in tree.glob("lib/libpython*.so*"):
            shutil.copy(each, context / "lib")
        self.build(context, name, dockerfile=f"FROM {self.debian()}\nCOPY . /usr/local\nRUN ldconfig\n")
        self("tag", name, f"python:{version}-slim-bookworm")
        shutil.rmtree(context)
        return name

    # The tests' engines live as long as their process.
    @functools.cache  # noqa: B019
    def watcher(self):
        """The watcher's image, as Dockerfiles/watcher.Dockerfile makes it of the programs under test."""
        self.script("images.sh", "watcher")
        return f"dcf/watcher:{self.version()}"

    @staticmethod
    def version():
        text = (ROOT / "Sources/FunctionConfig/Release.swift").read_text()
        return text.split('version = "')[1].split('"')[0]

    def script(self, name, *arguments, **environment):
        done = subprocess.run([ROOT / "scripts" / name, *arguments], capture_output=True, text=True,
                              timeout=FETCH_SECONDS,
                              env={**os.environ, **self.environment, "DCF_BIN": str(BIN), **environment})
        assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    # A registry.

    def registry(self, host="127.0.0.1", login=None):
        """The address of a registry, which an engine speaks to without TLS where it is on loopback; `login`: a line of
        htpasswd, for one that asks who is there."""
        if (host, login) in self._registries:
            return self._registries[host, login].address
        if not shutil.which("docker-registry"):
            raise Unavailable("docker-registry not installed (apt-get install docker-registry)")
        port = free_port(host)
        config = self.folder / f"registry-{port}.yaml"
        users = self.folder / f"registry-{port}.htpasswd"
        users.write_text(f"{login}\n")
        auth = {"auth": {"htpasswd": {"realm": "test", "path": str(users)}}} if login else {}
        config.write_text(json.dumps({
            **auth, "version": 0.1, "log": {"level": "warn"}, "http": {"addr": f"{host}:{port}"},
            "storage": {"filesystem": {"rootdirectory": f"{self.folder}/registry-{port}"},
                        "delete": {"enabled": True}}}))
        with open(self.folder / f"registry-{port}.log", "wb") as log:
            process = subprocess.Popen(["docker-registry", "serve", config], stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, start_new_session=True)
        process.address = f"{host}:{port}"
        self._registries[host, login] = process

        def answers():
            try:
                return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                    f"http://{process.address}/v2/", timeout=5).status == 200
            except urllib.error.HTTPError as error:
                return error.code == 401
            except OSError:
                return process.poll() is not None

        wait_until(answers, START_SECONDS, "the registry answers")
        assert process.poll() is None, (self.folder / f"registry-{port}.log").read_text()
        return process.address

    # Containers.

    def run(self, image, *command, flags=(), input=None, timeout=60, **options):
        """To its end; the container is gone afterwards."""
        return self("run", "--rm", *(("--interactive",) if input is not None else ()), *HARDENED, *flags, image,
                    *command, input=input, timeout=timeout, check=False, **options)

    def begin(self, image, *command, flags=()):
        """In the background; its id."""
        return self("run", "--detach", *HARDENED, *flags, image, *command).stdout.strip()

    def processes(self, label):
        """The first process of each container that runs and has a label."""
        running = self("ps", "--quiet", "--no-trunc", "--filter", f"label={label}").stdout.split()
        found = self("inspect", "--format", "{{.State.Pid}}", *running, check=False).stdout.split() if running else []
        return {int(pid) for pid in found} - {0}

    def log(self, container):
        done = self("logs", container)
        return done.stdout + done.stderr

    def remove(self, container):
        self("rm", "--force", "--volumes", container, check=False)


def architecture():
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
