"""Ports for programs that cannot choose one by themselves."""
import pathlib
import random
import socket

RANGE = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port(host="127.0.0.1"):
    """A port that nothing listens at. It is below the ports that the kernel gives to sockets that ask for any port, so
    a test in another lane does not get it before its program does."""
    first = int(RANGE.read_text().split()[0])
    below = first if first > 11_000 else 32_768
    for _ in range(100):
        port = random.randrange(10_000, below)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
                return port
            except OSError as error:
                refusal = error
    raise refusal
