"""Serves calls: one after another, in batches, on threads or on an event loop."""

import functools
from time import sleep

import _dcf_chains
import _dcf_context
import _dcf_watcher
from _dcf_errors import Cancelled
from _dcf_importing import lent, load
from _dcf_loading import load_asyncio
from _dcf_replies import drive, drive_async

# What a cancel does to a call that has begun: the library's numbers.
_FLAG, _RAISE_IN_MAIN, _RAISE_IN_THREAD = 0, 1, 2


class Serving:
    """Serves one handler, from the warm-up to its close.

    `settings` are the function's, `reporter` describes its faults, `log` are the log streams.
    """

    def __init__(self, handler, settings, reporter, log):
        self._handler = handler
        self._reporter = reporter
        self._log = log
        self._batch = settings.get("batch")
        self._concurrency = max(1, settings.get("concurrency") or 1)
        self._raises = settings.get("cancel") == "raise"

    def warm_up(self, data):
        """One call with these bytes; raises what the handler raises, or WrongReply."""
        call_once(self._handler, self._batch, _dcf_watcher.Request(data), lambda piece: None)

    def run(self):
        """Serves calls until a drain is done or the gateway is lost."""
        threads = 1 if self._handler.is_async or self._batch else self._concurrency
        style = _FLAG
        if self._raises and not self._handler.is_async and not self._batch:
            style = _RAISE_IN_MAIN if threads == 1 else _RAISE_IN_THREAD
        functions = (
            self._reporter.describe_exception,
            self._reporter.describe_reply,
            self._log.flush_partial,
            self._reporter.close,
        )
        _dcf_watcher.begin_serving(functions, Cancelled, style, threads)
        _dcf_chains.refusal = None
        if self._handler.is_async:
            self._run_loop()
        elif threads > 1:
            self._run_threads(threads)
        else:
            self._run_alone()

    def wait(self, seconds):
        """Waits while there is no gateway. The handler's event loop, if it has one, runs meanwhile."""
        if self._handler.is_async:
            self._handler.loop.run_until_complete(load_asyncio().sleep(seconds))
        else:
            sleep(seconds)

    def _run_alone(self):
        getter = functools.partial(_dcf_watcher.current_request, 0)
        _dcf_context.only = getter
        _dcf_context.current.set(getter)
        handler = self._handler.call
        if self._batch:
            handler = load("_dcf_batches").Batches(handler, self._batch.get("retry", True), self._log.error)
        _dcf_watcher.serve(handler, 1 if self._batch else 0)
        _dcf_context.current.set(None)

    def _run_threads(self, count):
        threading = load("threading")

        class HandlerThread(threading.Thread):
            def run(self):
                # The process does not wait for this thread at its end, but for threads that the handler starts here:
                # they inherit this value.
                self._daemonic = False
                super().run()

        self._log.keep_requests_apart()
        for index in range(count):
            HandlerThread(target=self._work, args=(index,), name=f"handler-{index + 1}", daemon=True).start()
        _dcf_watcher.serve_threads()

    def _work(self, index):
        _dcf_context.current.set(functools.partial(_dcf_watcher.current_request, index))
        try:
            _dcf_watcher.work(self._handler.call, index)
        except BaseException as error:
            # The main thread is reading the link: it sees the end of the link itself, but no other error.
            if not issubclass(type(error), ConnectionError):
                self._reporter.end_with(error)

    def _run_loop(self):
        self._log.keep_requests_apart()
        load("_dcf_event_loop").EventLoop(
            self._handler, self._concurrency, self._batch, self._raises, self._reporter, self._log
        ).run()

    def close(self):
        """Calls the handler's own close(), if it has one, and logs what that raises."""
        _dcf_chains.refusal = "other functions cannot be called while this replica stops"
        close(self._handler, self._reporter.log_exception)


def close(handler, complain):
    """Calls the handler's own close(), if it has one, and closes its event loop. `complain` gets each exception."""
    try:
        method = getattr(handler.owner, "close", None)
        if callable(method):
            result = method()
            if hasattr(type(result), "__await__"):
                _run_coroutine(result, handler.loop)
    except BaseException as error:
        complain(error)
    if handler.is_async:
        try:
            _close_loop(handler.loop)
        except BaseException as error:
            complain(error)


def _close_loop(loop):
    """Closes the event loop as asyncio.run does: cancels its tasks, and ends its generators and threads."""
    asyncio = load_asyncio()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    for task in tasks:
        if not task.cancelled() and task.exception() is not None:
            message = "unhandled exception while the event loop ended"
            loop.call_exception_handler({"message": message, "exception": task.exception(), "task": task})
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    asyncio.set_event_loop(None)
    loop.close()


def call_once(handler, batch, request, emit):
    """Makes one call without the link: `emit` gets the bytes of the reply, or of one piece after another."""
    call = handler.call
    if not handler.is_async:
        if batch:
            call = load("_dcf_batches").alone(call)
        return drive(call, request, emit)
    if batch:
        call = load("_dcf_batches").alone_async(call)
    _run_coroutine(drive_async(call, request, emit), handler.loop)


def _run_coroutine(awaitable, loop):
    """Runs an awaitable on the handler's event loop, or on a new one if `loop` is None."""

    async def run():
        return await awaitable

    if loop is None:
        asyncio = load_asyncio()
        with lent(("asyncio",)):
            asyncio.run(run())
    else:
        loop.run_until_complete(run())
