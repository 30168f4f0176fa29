"""Connects to a gateway on another machine; imported only where the link is over TCP."""

import _socket
from time import monotonic, sleep

# An overlay network may publish the gateway's name some time after this container has started.
_PATIENCE_SECONDS = 60
# The time for one address: to connect, and to get the gateway's first byte.
_ATTEMPT_SECONDS = 5
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.05, 1

_TASK_BYTES_MAX = 128


def task_name(text):
    if len(text.encode("utf-8", "surrogateescape")) > _TASK_BYTES_MAX:
        raise ConnectionError(f"DCF_TASK has more than {_TASK_BYTES_MAX} bytes")
    return text


def dial(link):
    """Connects to `tcp:HOST:PORT`; returns a descriptor from which the gateway's first bytes can be read."""
    host, _, port = link[4:].rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConnectionError(f'DCF_LINK: "{link}" is not tcp:HOST:PORT')
    end = monotonic() + _PATIENCE_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return _dial_now(host, int(port), end)
        except OSError as error:
            reason = error.strerror or str(error)
        if monotonic() + pause > end:
            raise ConnectionError(
                f"the gateway at {link} was not reached within {_PATIENCE_SECONDS} s: {reason}"
            )
        sleep(pause)
        pause = min(2 * pause, _LAST_PAUSE_SECONDS)


def _dial_now(host, port, end):
    """Tries each address of the name once; returns a descriptor, raises OSError."""
    failure = None
    for family, kind, protocol, _, address in _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM):
        plain = _socket.socket(family, kind | _socket.SOCK_CLOEXEC, protocol)
        try:
            plain.settimeout(max(0.1, min(_ATTEMPT_SECONDS, end - monotonic())))
            plain.connect(address)
            # A gateway that is stopping, or has too many connections, closes the new one at once.
            if not plain.recv(1, _socket.MSG_PEEK):
                raise ConnectionResetError(0, "it closed the connection before its first word")
            plain.settimeout(None)
            return plain.detach()
        except OSError as error:
            failure = error
            plain.close()
    raise failure
