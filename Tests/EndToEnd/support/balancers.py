"""HAProxy and nginx before several gateways, with the configurations of docs/balancers."""
import pathlib
import re
import shutil
import socket
import subprocess

from .ports import free_port
from .waiting import wait_until

DOCS = pathlib.Path(__file__).parents[3] / "docs/balancers"
#: In the configurations: where callers come, and where the gateways are.
FRONT, BACKS = 32220, (32221, 32222, 32223)


class Balancer:
    """One program, told its ports; `address` is where calls go."""

    def __init__(self, folder, config, command, backs):
        self.program = shutil.which(command[0]) or shutil.which(command[0], path="/usr/sbin")
        self.folder, self.backs, self.port, self.command = pathlib.Path(folder), backs, free_port(), command
        self.folder.mkdir(parents=True)
        text = (DOCS / config).read_text()
        for written, port in ((FRONT, self.port), *zip(BACKS, backs, strict=True)):
            assert text.count(f"127.0.0.1:{written}") == 1
            text = text.replace(f"127.0.0.1:{written}", f"127.0.0.1:{port}")
        self.path = self.folder / config
        self.path.write_text(self.complete(text))

    def complete(self, text):
        """Adds what the documents leave to the system."""
        return text

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def text(self):
        return (self.folder / "said").read_text(errors="replace")

    def __enter__(self):
        arguments = [a.format(config=self.path, folder=self.folder) for a in self.command[1:]]
        with open(self.folder / "said", "wb") as said:
            self.process = subprocess.Popen(
                [self.program, *arguments], stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
        try:
            wait_until(lambda: self.is_up() or self.process.poll() is not None, 20, "the balancer serves")
            assert self.process.poll() is None, self.text()
        except AssertionError:
            self.__exit__()
            raise
        return self

    def is_up(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


class HAProxy(Balancer):
    def __init__(self, folder, backs):
        super().__init__(folder, "haproxy.cfg", ["haproxy", "-db", "-f", "{config}"], backs)

    def complete(self, text):
        return text.replace("global\n", f"global\n    stats socket {self.folder}/stats mode 600\n", 1)

    def states(self):
        """Each gateway's state: UP or DOWN."""
        with socket.socket(socket.AF_UNIX) as stats:
            stats.connect(f"{self.folder}/stats")
            stats.sendall(b"show stat\n")
            text = b"".join(iter(lambda: stats.recv(65536), b"")).decode()
        rows = [line.split(",") for line in text.splitlines()]
        return {row[1]: row[17] for row in rows if row[0] == "gateways" and row[1] != "BACKEND"}

    def is_up(self):
        return (self.folder / "stats").exists() and set(self.states().values()) == {"UP"}

    def sees(self, number, is_up):
        return self.states()["abc"[number]] == ("UP" if is_up else "DOWN")


class Nginx(Balancer):
    def __init__(self, folder, backs):
        super().__init__(
            folder, "nginx.conf", ["nginx", "-e", "stderr", "-p", "{folder}", "-c", "{config}"], backs)

    def complete(self, text):
        places = "".join(
            f"    {kind}_temp_path {self.folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        text = re.sub(r"^http \{\n", f"http {{\n    access_log off;\n{places}", text, flags=re.M)
        return f"daemon off;\nworker_processes 1;\npid {self.folder}/pid;\nerror_log stderr;\nuser root;\n{text}"

    def sees(self, number, is_up):
        # It learns of a gateway by using it.
        return True
