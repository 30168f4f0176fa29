"""The way to a gateway on another machine; imported where there is one."""

import _socket
from time import monotonic, sleep

# An overlay network may tell the gateway's name only some time after it has started this container.
_PATIENCE_SECONDS = 60
# For one address: the connection, and the gateway's first word.
_ATTEMPT_SECONDS = 5
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.05, 1

_TASK_BYTES_MAX = 128


def task_name(text):
    if len(text.encode("utf-8", "surrogateescape")) > _TASK_BYTES_MAX:
        raise ConnectionError("DCF_TASK has more than %d bytes" % _TASK_BYTES_MAX)
    return text


def dial(link):
    """Connects to `tcp:HOST:PORT`: a descriptor, on which the gateway has begun to speak."""
    host, _, port = link[4:].rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConnectionError('DCF_LINK: "%s" is not tcp:HOST:PORT' % link)
    end = monotonic() + _PATIENCE_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return _dial_now(host, int(port), end)
        except OSError as error:
            reason = error.strerror or str(error)
        if monotonic() + pause > end:
            raise ConnectionError(
                "the gateway at %s was not reached within %d s: %s" % (link, _PATIENCE_SECONDS, reason)
            )
        sleep(pause)
        pause = min(2 * pause, _LAST_PAUSE_SECONDS)


def _dial_now(host, port, end):
    """Tries each address of the name; raises OSError."""
    failure = None
    for family, kind, protocol, _, address in _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM):
        plain = _socket.socket(family, kind | _socket.SOCK_CLOEXEC, protocol)
        try:
            plain.settimeout(max(0.1, min(_ATTEMPT_SECONDS, end - monotonic())))
            plain.connect(address)
            # One that stops at this moment, or has too many at its door, closes again.
            if not plain.recv(1, _socket.MSG_PEEK):
                raise ConnectionResetError(0, "it closed the connection before its first word")
            plain.settimeout(None)
            return plain.detach()
        except OSError as error:
            failure = error
            plain.close()
    raise failure
