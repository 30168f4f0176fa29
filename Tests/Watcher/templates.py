"""A gateway's end of a template, and of the replicas that are forked from it."""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess

from replica import PATIENCE, SETTINGS, WATCHER, Pump, Replica


class Template:
    """A template process. The end of a `with` kills it and its replicas."""

    def __init__(self, python, *modules, environment=None, parent=None):
        self.control, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(PATIENCE)
        self.process = subprocess.Popen(
            [str(WATCHER), "--template", "--parent", str(parent or os.getpid()), "--python", str(python)],
            stdin=inner, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "DCF_PRELOAD": ",".join(modules),
                 **(environment or {})})
        inner.close()
        self.out, self.err = Pump(self.process.stdout), Pump(self.process.stderr)
        self.replicas, self.number = [], 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for replica in self.replicas:
            replica.__exit__()
        self.control.close()
        self.process.kill()
        self.process.wait()

    @property
    def pid(self):
        return self.process.pid

    def receive(self):
        """The fields of its next message; none at the end."""
        data = self.control.recv(1 << 16)
        return data.decode().split("\0") if data else []

    def ready(self):
        assert self.receive() == ["ready"]
        return self

    def refused(self):
        """Waits for its refusal; returns the summary and the traceback."""
        word, summary, text = self.receive()
        assert word == "refused"
        assert self.process.wait(PATIENCE) == 1
        return summary, text

    def fork(self, folder, handler=None, **options):
        """Forks a replica, which waits at its gate unless that is opened."""
        self.replicas.append(Forked(self, folder, handler, **options))
        return self.replicas[-1]

    def reap(self, pid):
        """Waits for the end of a child; returns its status."""
        self.control.send(b"reap\0%d" % pid)
        word, number, status = self.receive()
        assert (word, number) == ("ended", str(pid))
        return int(status)


class Forked(Replica):
    """A replica that a template forked."""

    def __init__(self, template, folder, handler=None, file="handler.py", name="Handler", cpus="", environment=None,
                 open_gate=True):
        self.template = template
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        if handler is not None:
            (self.folder / "handler.py").write_text(handler)
        self.max_body, self.settings = 64 << 20, SETTINGS
        self._listener = socket.socket(socket.AF_UNIX)
        path = str(self.folder / "l")
        self._listener.bind(path)
        self._listener.listen()
        self._listener.settimeout(PATIENCE)
        self.link, self._buffer, self.paces = None, b"", []
        out, err, gate = os.pipe(), os.pipe(), os.pipe()
        self.gate = os.fdopen(gate[1], "wb", buffering=0)
        template.number += 1
        variables = {"HANDLER_DIR": str(folder), "HANDLER_FILE": file, "HANDLER_NAME": name, "DCF_LINK": path,
                     "DCF_TOKEN": "secret-token", **(environment or {})}
        fields = ["fork", str(template.number), cpus, *(f"{k}={v}" for k, v in variables.items())]
        socket.send_fds(template.control, ["\0".join(fields).encode()], [out[1], err[1], gate[0]])
        for descriptor in (out[1], err[1], gate[0]):
            os.close(descriptor)
        self.out, self.err = Pump(os.fdopen(out[0], "rb")), Pump(os.fdopen(err[0], "rb"))
        word, number, pid = template.receive()
        assert (word, number) == ("forked", str(template.number))
        self.pid = int(pid)
        self.process_descriptor = os.pidfd_open(self.pid)
        if open_gate:
            self.gate.write(b"1")
            self.gate.close()

    def __exit__(self, *_):
        for stream in (self.link, self._listener, self.gate):
            if stream is not None:
                stream.close()
        if self.process_descriptor is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.process_descriptor, signal.SIGKILL)
            os.close(self.process_descriptor)
            self.process_descriptor = None

    def status(self):
        """Waits for the replica's end; returns the exit status, or minus the signal."""
        return os.waitstatus_to_exitcode(self.template.reap(self.pid))
