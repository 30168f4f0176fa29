"""Prints: `lines N` of about 100 bytes, `long BYTES` in one line, `say TEXT`, `raw SECONDS` as fast as it can."""
import os
import sys
import time


class Handler:
    def __call__(self, req):
        word, _, rest = req.input.decode().partition(" ")
        if word == "lines":
            for n in range(int(rest)):
                print(f"line {n:08d} " + "." * 85)
        elif word == "long":
            print("L" * int(rest))
        elif word == "say":
            print(rest)
            print(rest + " (stderr)", file=sys.stderr)
        elif word == "raw":
            end, block = time.monotonic() + float(rest), (b"r" * 99 + b"\n") * 650
            while time.monotonic() < end:
                os.write(1, block)
        elif word == "binary":
            os.write(1, b"before \xff\xfe after\n")
        return "done"
