"""Prints: `lines N` of about 100 bytes, `long BYTES` in one line, `say TEXT`, `raw SECONDS` as fast as it can,
`raw-long BYTES` in one line past sys.stdout.

`raw` answers with the number of lines that it wrote, all others with `done`."""
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
            end, block, written = time.monotonic() + float(rest), (b"r" * 99 + b"\n") * 650, 0
            while time.monotonic() < end:
                rest = block
                while rest:
                    rest = rest[os.write(1, rest):]
                written += 650
            return str(written)
        elif word == "raw-long":
            line = memoryview(b"L" * int(rest) + b"\n")
            while line:
                line = line[os.write(1, line):]
        elif word == "binary":
            os.write(1, b"before \xff\xfe after\n")
        return "done"
