"""Writes down what it runs: `start ID` and `end ID`, each with one write. The input is `ID MILLISECONDS`."""
import hashlib
import os
import time


class Handler:
    def __init__(self, parameters):
        self.file = os.open(parameters["ledger"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def __call__(self, req):
        ident, _, milliseconds = req.input.decode().partition(" ")
        os.write(self.file, f"start {ident}\n".encode())
        time.sleep(float(milliseconds or 0) / 1000)
        os.write(self.file, f"end {ident}\n".encode())
        return hashlib.sha256(ident.encode()).hexdigest()
