"""Handlers that get a list of requests and return a list of replies."""

from posix import getpid

import _dcf_watcher
from _dcf_errors import CALLER_GONE, CANCELLED, DEADLINE_EXCEEDED, INTERNAL
from _dcf_faults import headline


class WrongBatch(Exception):
    """The handler did not return a list of the right length for a list of requests."""


def check(results, count):
    """Returns the results for `count` requests; raises WrongBatch unless they are a list or tuple of that length."""
    if not isinstance(results, (list, tuple)):
        close = getattr(results, "close", None)
        if hasattr(type(results), "__await__") or hasattr(type(results), "__next__"):
            close()
        name = "None" if results is None else type(results).__name__
        advice = ": is a return missing?" if results is None else ""
        raise WrongBatch(
            f"the handler returned {name} for a batch of {count}; "
            f"it must return a list of as many replies, in order{advice}"
        )
    if len(results) != count:
        raise WrongBatch(
            f"the handler returned {len(results)} replies for a batch of {count}; "
            "it must return one for each request, in order"
        )
    return results


def alone(handler):
    """Makes a handler of lists into one of single requests."""

    def call(request):
        (result,) = check(handler([request]), 1)
        if isinstance(result, BaseException):
            raise result
        return result

    return call


def alone_async(handler):
    """Makes an async handler of lists into an async one of single requests."""

    async def call(request):
        (result,) = check(await handler([request]), 1)
        if isinstance(result, BaseException):
            raise result
        return result

    return call


class Batches:
    """The callable that serves one batch: it calls the handler and sends the answers."""

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
                # A child process that the handler forked: the exception ends it.
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
        """Serves one batch with an async handler."""
        try:
            results = await self._handler(requests[:])
        except Exception as error:
            if getpid() != self._process:
                # A child process that the handler forked: the exception ends it.
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
        """Whether each request is tried again alone; otherwise all of them have failed with this error."""
        if len(requests) == 1 or not self._retry:
            for request in requests:
                _dcf_watcher.fail(request, error)
            return False
        self._log.write(
            f"dcf-watcher: a batch of {len(requests)} failed with {headline(error)}; "
            "its members are tried once more, each alone\n"
        )
        return True

    @staticmethod
    def _waiting(requests):
        """Yields the requests that a caller still waits for; refuses the others."""
        for request in requests:
            left = request.remaining()
            if request.cancelled:
                _dcf_watcher.refuse(request, CANCELLED, CALLER_GONE)
            elif left is not None and left <= 0:
                _dcf_watcher.refuse(request, DEADLINE_EXCEEDED, "the deadline passed before the call was tried again")
            else:
                yield request

    def answer(self, requests, results):
        try:
            check(results, len(requests))
        except WrongBatch as wrong:
            self._log.write(f"{wrong}\n")
            for request in requests:
                _dcf_watcher.refuse(request, INTERNAL, str(wrong))
            return
        # `check` has compared the lengths; `strict` needs Python 3.10.
        for request, result in zip(requests, results):
            # Log lines about this answer carry the request's id.
            _dcf_watcher.focus(request)
            if isinstance(result, BaseException):
                _dcf_watcher.fail(request, result)
            else:
                _dcf_watcher.answer(request, result)
        _dcf_watcher.focus(None)
