"""Yields as many pieces as the input says, `N [SIZE]`, each with its number in front; writes down how far it came."""
import mmap
import os
import struct


class Handler:
    def __init__(self, parameters):
        """`progress` names a file of 16 bytes: pieces made, and generators closed before their end."""
        file = os.open(parameters["progress"], os.O_RDWR)
        self.progress = mmap.mmap(file, 16)
        os.close(file)

    def __call__(self, req):
        words = req.input.decode().split()
        count, size = int(words[0]), int(words[1]) if len(words) > 1 else 1024
        try:
            for n in range(count):
                struct.pack_into("<Q", self.progress, 0, n + 1)
                yield b"%08d" % n + b"." * (size - 8)
        except GeneratorExit:
            struct.pack_into("<Q", self.progress, 8, struct.unpack_from("<Q", self.progress, 8)[0] + 1)
            raise
