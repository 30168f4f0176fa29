"""Handlers that get a list of requests and return a list of replies."""

from posix import getpid

import _dcf_watcher
from _dcf_faults import headline

_INTERNAL = 13


class WrongBatch(Exception):
    """What a handler returned for a list is not a list of the same length."""


def check(results, count):
    """What came for so many requests; raises WrongBatch unless it is a list, or a tuple, of that length."""
    if not isinstance(results, (list, tuple)):
        close = getattr(results, "close", None)
        if hasattr(type(results), "__await__") or hasattr(type(results), "__next__"):
            close()
        name = "None" if results is None else type(results).__name__
        advice = ": is a return missing?" if results is None else ""
        raise WrongBatch(
            "the handler returned %s for a batch of %d; it must return a list of as many replies, in order%s"
            % (name, count, advice)
        )
    if len(results) != count:
        raise WrongBatch(
            "the handler returned %d replies for a batch of %d; it must return one for each request, in order"
            % (len(results), count)
        )
    return results


def alone(handler):
    """A handler of lists as one of single requests."""

    def call(request):
        (result,) = check(handler([request]), 1)
        if isinstance(result, BaseException):
            raise result
        return result

    return call


def alone_async(handler):
    """The same for one that is a coroutine."""

    async def call(request):
        (result,) = check(await handler([request]), 1)
        if isinstance(result, BaseException):
            raise result
        return result

    return call


class Batches:
    """What is called with each batch: has the handler answer it, and sends the answers."""

    def __init__(self, handler, retry, log):
        self._handler = handler
        self._retry = retry
        self._process = getpid()
        self._log = log

    def __call__(self, requests):
        try:
            results = self._handler(requests[:])
        except BaseException as error:
            if getpid() != self._process:
                # A child that the handler forked: it ends with that.
                raise
            if not self._is_tried_again(requests, error):
                return
        else:
            return self.answer(requests, results)
        for request in self._waiting(requests):
            _dcf_watcher.focus(request)
            try:
                self.answer([request], self._handler([request]))
            except BaseException as error:
                _dcf_watcher.fail(request, error)
            _dcf_watcher.focus(None)

    async def run_async(self, requests):
        """The same for a handler that is a coroutine."""
        try:
            results = await self._handler(requests[:])
        except Exception as error:
            if getpid() != self._process:
                # A child that the handler forked: it ends with that.
                raise
            if not self._is_tried_again(requests, error):
                return
        else:
            return self.answer(requests, results)
        for request in self._waiting(requests):
            try:
                self.answer([request], await self._handler([request]))
            except Exception as error:
                _dcf_watcher.fail(request, error)

    def _is_tried_again(self, requests, error):
        """Whether the members are to be tried alone; else all have failed with that."""
        if len(requests) == 1 or not self._retry:
            for request in requests:
                _dcf_watcher.fail(request, error)
            return False
        self._log.write(
            "dcf-watcher: a batch of %d failed with %s; its members are tried once more, each alone\n"
            % (len(requests), headline(error))
        )
        return True

    @staticmethod
    def _waiting(requests):
        """Those that somebody still waits for, one after another; the others are answered."""
        for request in requests:
            left = request.remaining()
            if request.cancelled:
                _dcf_watcher.refuse(request, 1, "the caller has gone away")
            elif left is not None and left <= 0:
                _dcf_watcher.refuse(request, 4, "the deadline passed before the call was tried again")
            else:
                yield request

    def answer(self, requests, results):
        try:
            check(results, len(requests))
        except WrongBatch as wrong:
            self._log.write("%s\n" % wrong)
            for request in requests:
                _dcf_watcher.refuse(request, _INTERNAL, str(wrong))
            return
        for request, result in zip(requests, results):
            # What is said of it in the log is its own.
            _dcf_watcher.focus(request)
            if isinstance(result, BaseException):
                _dcf_watcher.fail(request, result)
            else:
                _dcf_watcher.answer(request, result)
        _dcf_watcher.focus(None)
