"""Holds each call until the test says what it shall do; support/held.py is the other end.

A call dials the test's socket, says what it is, and obeys: each order and each answer is one JSON line. `handler.name`
chooses the class. An input that begins with `quick` is answered at once, with itself."""
import asyncio
import json
import os
import socket
import threading
import time

import dcf


def address(path):
    """A path, or `@NAME` for a socket that has none: also a container in this machine's network reaches that."""
    return "\0" + path[1:] if path.startswith("@") else path


class Line:
    """The connection of one call to the test."""

    def __init__(self, path, kind, inputs=()):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(address(path))
        self.file = self.socket.makefile("rw")
        self.say(kind, inputs)

    def say(self, kind, inputs):
        self.tell(kind=kind, inputs=[i.decode("latin-1") for i in inputs], thread=threading.get_ident())

    def tell(self, **message):
        self.file.write(json.dumps(message) + "\n")
        self.file.flush()

    def orders(self):
        for line in self.file:
            yield json.loads(line)
        raise RuntimeError("the test is gone")

    def answer(self, text, scope):
        try:
            self.tell(value=repr(eval(text, scope)))
        except Exception as error:
            self.tell(error=repr(error))

    def obey(self, scope, orders=None):
        """Runs orders until one ends the call, or says what to yield: ("yield", value) or ("return", value)."""
        for word, text in orders or self.orders():
            if word == "eval":
                self.answer(text, scope)
            elif word == "raise":
                raise eval(text, scope)
            elif word == "spin":
                self.spin()
            elif word == "stuck":
                eval(text, scope)
            else:
                return word, eval(text, scope)

    def spin(self):
        """Runs Python code for ever; tells what was raised in it."""
        try:
            self.tell(spins=True)
            while True:
                time.sleep(0.002)
        except BaseException as error:
            self.tell(raised=type(error).__name__)
            raise

    def close(self):
        self.file.close()
        self.socket.close()


def scope(**names):
    return {"dcf": dcf, "os": os, "time": time, "threading": threading, "asyncio": asyncio, **names}


class Made:
    def __init__(self, parameters):
        self.path = parameters["calls"]
        self.parameters = parameters
        if parameters.get("hold_constructor"):
            line = Line(self.path, "construct")
            line.obey(scope(self=self))
            line.close()

    def close(self):
        if self.parameters.get("hold_close"):
            line = Line(self.path, "close")
            line.obey(scope(self=self))
            line.close()
        elif self.parameters.get("tell_close"):
            Line(self.path, "close").close()


class Handler(Made):
    def __call__(self, req):
        if req.input.startswith(b"quick"):
            return req.input
        line = Line(self.path, "call", [req.input])
        try:
            return line.obey(scope(req=req, self=self))[1]
        finally:
            line.close()


class Batch(Made):
    def __call__(self, reqs):
        if all(r.input.startswith(b"quick") for r in reqs):
            return [r.input for r in reqs]
        line = Line(self.path, "batch", [r.input for r in reqs])
        try:
            return line.obey(scope(reqs=reqs, self=self))[1]
        finally:
            line.close()


class Stream(Made):
    def __call__(self, req):
        line = Line(self.path, "stream", [req.input])
        try:
            while True:
                word, value = line.obey(scope(req=req, self=self))
                if word == "return":
                    return
                yield value
        except GeneratorExit:
            line.tell(raised="GeneratorExit")
            raise
        finally:
            line.close()


class AsyncLine(Line):
    """The same on an event loop: while it waits for an order other calls run."""

    def __init__(self, reader, writer, kind, inputs):
        self.reader, self.writer = reader, writer
        self.say(kind, inputs)

    @classmethod
    async def open(cls, path, kind, inputs):
        return cls(*await asyncio.open_unix_connection(address(path)), kind, inputs)

    def tell(self, **message):
        self.writer.write(json.dumps(message).encode() + b"\n")

    async def obey_async(self, scope):
        while True:
            word, text = json.loads(await self.reader.readline())
            if word == "await":
                try:
                    self.tell(awaits=True)
                    await eval(text, scope)
                except BaseException as error:
                    self.tell(raised=type(error).__name__)
                    raise
            elif (done := self.obey(scope, [(word, text)])) is not None:
                return done

    def close(self):
        self.writer.close()


class Async(Made):
    async def __call__(self, req):
        if req.input.startswith(b"quick"):
            return req.input
        line = await AsyncLine.open(self.path, "call", [req.input])
        try:
            return (await line.obey_async(scope(req=req, self=self)))[1]
        finally:
            line.close()


class AsyncStream(Made):
    async def __call__(self, req):
        line = await AsyncLine.open(self.path, "stream", [req.input])
        try:
            while True:
                word, value = await line.obey_async(scope(req=req, self=self))
                if word == "return":
                    return
                yield value
        except (GeneratorExit, asyncio.CancelledError) as error:
            line.tell(raised=type(error).__name__)
            raise
        finally:
            line.close()
