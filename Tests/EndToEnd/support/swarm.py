"""A Docker Swarm of several nodes on this machine: each node has an engine and a network namespace of its own.

The nodes' network is 10.213.N.0/24. Node i has the address i+1. This machine is on the network too, as 254: tasks reach
what listens there, and this machine reaches what listens in a node's namespace. No packet leaves the machine: a node
has no other way out. What is made is named for the process that made it, and the next process removes what a killed one
left.
"""
import contextlib
import http.client
import ipaddress
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile
import urllib.parse
import warnings

from . import processes
from .docker import START_SECONDS, Docker, Unavailable
from .waiting import wait_until

VERSION = "v1.41"
#: Seconds between a node's signs of life. The manager gives a node up after two to three times that. An engine's
#: default is 5.
HEARTBEAT = 1.0
PREFIX = "dcf-s"
CGROUPS = pathlib.Path("/sys/fs/cgroup")
NETWORKS = "10.213.0.0/16"
OVERLAYS = "10.214.0.0/16"


class Refused(Exception):
    """An engine's answer that is not 2xx."""

    def __init__(self, status, message):
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class Node(Docker):
    """One engine of a Swarm. `index` counts from 0; `gpus` are names of devices, as a generic resource."""

    def __init__(self, swarm, index, gpus=()):
        folder = swarm.folder / str(index + 1)
        folder.mkdir()
        super().__init__(folder)
        self.swarm, self.index, self.name = swarm, index, f"node{index + 1}"
        self.address = str(swarm.network[index + 1])
        self.namespace = f"{swarm.name}-{index + 1}"
        self.identity = None
        self.inside = ("nsenter", f"--net=/run/netns/{self.namespace}")
        # `ip netns exec` would hide the control groups.
        self.through = (*self.inside, "unshare", "--uts", "sh", "-c", f'hostname {self.name} && exec "$@"', "sh")
        self.flags = ("--bridge", "none", "--insecure-registry", str(swarm.network), "--label", f"dcf.node={self.name}",
                      *(each for gpu in gpus for each in ("--node-generic-resource", f"gpu={gpu}")))

    @property
    def port(self):
        """Its end of the cable that is in the switch."""
        return f"port{self.index + 1}"

    def plug(self):
        """A namespace, and its cable to the switch."""
        ip("netns", "add", self.namespace)
        ip("-n", self.swarm.switch, "link", "add", self.port, "type", "veth", "peer", "name", "eth0", "netns",
           self.namespace)
        ip("-n", self.swarm.switch, "link", "set", self.port, "master", "switch", "up")
        ip("-n", self.namespace, "address", "add", f"{self.address}/24", "dev", "eth0")
        for each in ("lo", "eth0"):
            ip("-n", self.namespace, "link", "set", each, "up")

    def last_words(self):
        """The end of the engine's log; where it has panicked, from there on."""
        text = (self.folder / "log").read_text(errors="replace")
        panics = [text.find(each) for each in ("\npanic:", "\nfatal error:") if each in text]
        return text[min(panics, default=max(len(text) - 3_000, 0)):][:6_000]

    def api(self, method, path, body=None, timeout=START_SECONDS, **query):
        """One request of the Engine's API: what it answers, of JSON. `query`: what is not text is put as JSON."""
        connection = http.client.HTTPConnection("engine", timeout=timeout)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(timeout)
        with contextlib.closing(connection):
            try:
                connection.sock.connect(self.host.removeprefix("unix://"))
            except ConnectionRefusedError:
                raise Ended(f"the engine of {self.name} has ended ({self.process and self.process.poll()}); "
                            f"it said:\n{self.last_words()}") from None
            path += "?" * bool(query) + urllib.parse.urlencode(
                {key: each if isinstance(each, str) else json.dumps(each) for key, each in query.items()})
            connection.request(method, f"/{VERSION}{path}", json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        if response.status >= 300:
            with contextlib.suppress(ValueError):
                text = json.loads(text)["message"]
            raise Refused(response.status, text.strip())
        return json.loads(text) if text.strip() else None


class Swarm:
    """A manager, node 0, and workers. `with Swarm() as swarm:`, or start() and stop()."""

    def __init__(self, nodes=2, gpus=None, heartbeat=HEARTBEAT):
        self.count, self.gpus, self.heartbeat = nodes, gpus or {}, heartbeat
        self.folder = self.name = self.network = None
        self.nodes = []

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self):
        if os.geteuid() != 0:
            raise Unavailable("a Swarm of several nodes on one machine needs root")
        os.environ["PATH"] += ":/usr/sbin:/sbin" * ("/usr/sbin" not in os.environ["PATH"].split(":"))
        missing = [
            each for each in ("docker", "dockerd", "ip", "nsenter", "unshare", "iptables") if not shutil.which(each)]
        if missing:
            raise Unavailable(
                f"{', '.join(missing)} not installed (apt-get install docker.io iproute2 util-linux iptables)")
        sweep()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self.name = self.folder.name
        try:
            self._cable()
            self.nodes = [Node(self, each, self.gpus.get(each, ())) for each in range(self.count)]
            for node in self.nodes:
                node.plug()
            for node in self.nodes:
                node.launch()
            self._join()
        except Failed as reason:
            self.stop()
            raise Unavailable(f"no Swarm on this machine: {reason}") from None
        except Refused as reason:
            said = self.text()
            self.stop()
            raise Unavailable(f"the engines make no Swarm here: {reason}; they said: {said[-300:]}") from None
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        """Everything is gone afterwards, whatever state it was in."""
        for node in self.nodes:
            for registry in node._registries.values():
                registry.terminate()
                registry.wait()
            if node.process:
                processes.kill(node.process.pid)
        if self.folder:
            remove(self.folder)
        for node in self.nodes:
            if node.process:
                node.process.wait()
        self.nodes, self.folder = [], None

    # The network.

    @property
    def switch(self):
        return f"{self.name}-0"

    @property
    def host_address(self):
        """This machine's address on the nodes' network."""
        return str(self.network[254])

    def _cable(self):
        taken = [
            ipaddress.ip_network(each["dst"]) for each in json.loads(ip("-4", "-json", "route", "show", "table", "all"))
                 if "/" in each["dst"] and each["dst"] != "0.0.0.0/0"]
        free = [each for each in ipaddress.ip_network(NETWORKS).subnets(new_prefix=24)
                if not any(each.overlaps(other) for other in taken)]
        if not free:
            raise Unavailable(f"every network of {NETWORKS} is taken on this machine")
        self.network = random.choice(free)
        ip("netns", "add", self.switch)
        ip("-n", self.switch, "link", "set", "lo", "up")
        ip("-n", self.switch, "link", "add", "switch", "type", "bridge")
        ip("-n", self.switch, "link", "set", "switch", "up")
        # What overlays are made of: without it the engines would only say so when the first task starts.
        ip("-n", self.switch, "link", "add", "probe", "type", "vxlan", "id", "1", "dstport", "4789")
        ip("-n", self.switch, "link", "delete", "probe")
        ip("link", "add", cable(self.folder), "type", "veth", "peer", "name", "host", "netns", self.switch)
        ip("-n", self.switch, "link", "set", "host", "master", "switch", "up")
        ip("address", "add", f"{self.host_address}/24", "dev", cable(self.folder))
        ip("link", "set", cable(self.folder), "up")

    def encrypts(self):
        """Whether this kernel can do what an encrypted overlay needs. Without that, tasks start, and no packet
        arrives."""
        done = subprocess.run(
            ["ip", "-n", self.switch, "xfrm", "state", "add", "src", "10.0.0.1", "dst", "10.0.0.2", "proto", "esp",
             "spi", "0x101", "mode", "transport", "aead", "rfc4106(gcm(aes))", f"0x{1:040x}", "64"],
            capture_output=True)
        if done.returncode == 0:
            ip("-n", self.switch, "xfrm", "state", "flush")
        return done.returncode == 0

    # The nodes.

    @property
    def manager(self):
        return self.nodes[0]

    def _join(self):
        first = self.manager
        first.identity = first.api("POST", "/swarm/init", {
            "ListenAddr": f"{first.address}:2377", "AdvertiseAddr": first.address, "DefaultAddrPool": [OVERLAYS],
            "SubnetSize": 24, "Spec": {"Dispatcher": {"HeartbeatPeriod": int(self.heartbeat * 1e9)}}})
        token = first.api("GET", "/swarm")["JoinTokens"]["Worker"]
        for node in self.nodes[1:]:
            node.api("POST", "/swarm/join", {
                "ListenAddr": f"{node.address}:2377", "AdvertiseAddr": node.address,
                "RemoteAddrs": [f"{first.address}:2377"], "JoinToken": token})
            node.identity = node.api("GET", "/info")["Swarm"]["NodeID"]
        wait_until(lambda: [self.state(each) for each in range(self.count)] == ["ready"] * self.count, START_SECONDS,
                   "every node is ready")

    def revive(self):
        """Starts engines again that have ended by themselves, and warns with what they said last. dockerd is known to
        end so now and then where services come and go (moby/moby#36772)."""
        for node in self.nodes:
            if node.process is None or node.process.poll() is None:
                continue
            warnings.warn(f"the engine of {node.name} has ended ({node.process.returncode}); it said:\n"
                          f"{node.last_words()}", stacklevel=2)
            helper = node.folder / "exec/containerd/containerd.pid"
            if helper.exists():
                processes.kill(int(helper.read_text()))
                # Ours since its parent is gone; while it is known, the next takes it for alive.
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(int(helper.read_text()), 0)
            (node.folder / "pid").unlink(missing_ok=True)
            node.process = None
            node.launch()
            wait_until(lambda node=node: self.state(node.index) == "ready", START_SECONDS, f"{node.name} is back")

    def state(self, index):
        """What the manager thinks of a node: unknown, ready, down, disconnected."""
        return self.manager.api("GET", f"/nodes/{self.nodes[index].identity}")["Status"]["State"]

    def kill_node(self, index):
        """As if its power were cut: nothing that it sends after this moment arrives, no connection is closed."""
        node = self.nodes[index]
        ip("-n", self.switch, "link", "set", node.port, "down")
        kill(node.folder)
        if node.process:
            node.process.wait()
            node.process = None
        # What is in memory is lost with the node: control groups, mounts, the folder for what runs, the namespace. Its
        # disk is kept.
        ungroup(node.folder)
        unmount(node.folder)
        shutil.rmtree(node.folder / "exec", ignore_errors=True)
        for each in ("pid", "docker.sock"):
            (node.folder / each).unlink(missing_ok=True)
        ip("netns", "delete", node.namespace)

    def restart_node(self, index):
        """Starts a node that was killed, with the disk that it had. It belongs to the Swarm again. Its tasks may
        never come back."""
        node = self.nodes[index]
        # Its other end went with the namespace, some time after.
        subprocess.run(["ip", "-n", self.switch, "link", "delete", node.port], capture_output=True)
        node.plug()
        node.launch()
        wait_until(lambda: self.state(index) == "ready", START_SECONDS, f"{node.name} is ready again")

    @contextlib.contextmanager
    def unplugged(self, index):
        """A node that goes on working, unheard."""
        ip("-n", self.switch, "link", "set", self.nodes[index].port, "down")
        try:
            yield
        finally:
            ip("-n", self.switch, "link", "set", self.nodes[index].port, "up")

    def text(self):
        return "".join((each.folder / "log").read_text(errors="replace") for each in self.nodes
                       if (each.folder / "log").exists())

    # Images and services.

    def share(self, image, source=None):
        """Puts an image of `source`, else of the manager, on every node; its id. A service that names the id pulls
        nothing."""
        source = source or self.manager
        identity = source.inspect(image)["Id"]
        file = self.folder / "image.tar"
        source("save", "--output", file, image)
        for node in self.nodes:
            if not node.has(identity) or not node.has(image):
                node("load", "--input", file)
        file.unlink()
        return identity

    def registry(self, login=None):
        """The address of a registry that every node pulls from."""
        return self.manager.registry(self.host_address, login)

    def tasks(self, service, desired="running"):
        """A service's tasks that should be there, oldest first, as the API tells of them."""
        found = self.manager.api("GET", "/tasks", filters={"service": [service], "desired-state": [desired]})
        return sorted(found, key=lambda each: each["CreatedAt"])

    def running(self, service):
        """The nodes, by index, that a service's tasks run on."""
        index = {each.identity: each.index for each in self.nodes}
        return sorted(index[each["NodeID"]] for each in self.tasks(service) if each["Status"]["State"] == "running")


class Failed(Exception):
    """What `ip` said."""


class Ended(ConnectionRefusedError):
    """An engine that nobody ended does not run any more: what it said last."""


def ip(*arguments):
    done = subprocess.run(["ip", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"ip {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return done.stdout


def cable(folder):
    """This machine's end of its cable to the switch; a name has 15 characters."""
    return f"dcf-{folder.name.rsplit('-', 1)[1]}"


def of(folder):
    """The ids of engines, their helpers and their containers that have to do with a folder, and all below them."""
    found = {int(each) for each in os.listdir("/proc") if each.isdigit() and int(each) != os.getpid()
             and f"{folder}/" in processes.command(int(each)) and processes.exists(int(each))}
    return found.union(*map(processes.descendants, found))


def kill(folder):
    """Ends them all. Engines first, which would tell of what ends, or start it again."""
    for each in of(folder):
        if processes.command(each).startswith(("dockerd ", "containerd ")):
            processes.kill(each)

    def gone():
        left = of(folder)
        for each in left:
            processes.kill(each)
        return not left

    wait_until(gone, 20, f"no process of {folder} is left")


def unmount(folder):
    for line in reversed(pathlib.Path("/proc/mounts").read_text().splitlines()):
        if line.split()[1].startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", line.split()[1]], capture_output=True)


def ungroup(folder):
    """Removes the control groups of a node's containers, which are no more."""
    for each in (folder / "data/containers").glob("*"):
        for group in [*CGROUPS.glob(f"*/docker/{each.name}"), *CGROUPS.glob(f"docker/{each.name}")]:
            with contextlib.suppress(OSError):
                group.rmdir()


def remove(folder):
    """All that a Swarm made, found by its folder's name alone."""
    kill(folder)
    for each in folder.glob("*/"):
        ungroup(each)
    unmount(folder)
    for each in sorted(pathlib.Path("/run/netns").glob(f"{folder.name}-*")):
        subprocess.run(["ip", "netns", "delete", each.name], capture_output=True)
        # One that was mounted where this process does not see it is a file here.
        each.unlink(missing_ok=True)
    subprocess.run(["ip", "link", "delete", cable(folder)], capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def sweep():
    """Removes what processes that are no more have left."""
    for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{PREFIX}[0-9]*-*"):
        owner = folder.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdigit() and not pathlib.Path(f"/proc/{owner}").exists():
            remove(folder)
