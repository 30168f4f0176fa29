"""Holds as many MiB as the input says."""


class Handler:
    def __init__(self):
        self.held = []

    def __call__(self, req):
        self.held.append(bytearray(int(req.input) << 20))
        self.held[-1][::4096] = b"x" * len(self.held[-1][::4096])
        return "held"
