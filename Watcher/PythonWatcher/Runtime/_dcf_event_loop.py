"""Async handlers: one event loop, several calls in flight."""

import asyncio
from posix import _exit, getpid
from time import monotonic
from traceback import FrameSummary, format_list

import _dcf_chains
import _dcf_context
import _dcf_watcher
from _dcf_batches import Batches
from _dcf_errors import CALLER_GONE, CANCELLED, DEADLINE_EXCEEDED, INTERNAL, RESOURCE_EXHAUSTED
from _dcf_replies import WrongReply, data

# A generator that never waits lets other tasks run after this time.
_TURN_SECONDS = 0.001


class EventLoop:
    """Starts a task for each call, and ends the task when its caller no longer waits."""

    def __init__(self, handler, concurrency, batch, raises, reporter, log):
        self._reporter = reporter
        self._handler = handler.call
        self._limit = concurrency
        # Whether the task of a cancelled call is cancelled too; otherwise only `req.cancelled` tells the handler.
        self._raises = raises
        self._batches = None if batch is None else Batches(handler.call, batch.get("retry", True), log.error)
        self._log = log
        self._loop = handler.loop
        # Task -> its requests.
        self._tasks = {}
        # Task -> why it was cancelled: a status code and a message.
        self._reasons = {}
        # Task -> the asynchronous generator that it reads.
        self._pieces = {}
        # Request -> the future of a stream that waits for credit.
        self._credit = {}
        self._flushes = False
        self._process = getpid()
        self._is_drained = False
        self._is_lost = False
        self._end = None

    def run(self):
        """Serves calls until a drain is done or the gateway is lost."""
        _dcf_chains.loop = self._loop
        self._end = self._loop.create_future()
        descriptor = _dcf_watcher.loop_open(self._limit, self._batches is not None)
        self._loop.add_reader(descriptor, self._look)
        self._look()
        self._loop.run_until_complete(self._end)
        self._loop.remove_reader(descriptor)
        if self._is_lost:
            return
        _dcf_watcher.flush()

    def _look(self):
        self._end_if_forked()
        if self._end.done():
            return
        try:
            news = _dcf_watcher.loop_take(self._limit - len(self._tasks), self._batches is not None)
            if news is None:
                return self._lose()
            work, cancels, credit, answers, self._is_drained = news
            for each in work:
                self._begin(each if self._batches is not None else [each])
        except BaseException as error:
            self._end.set_exception(error)
            return
        if cancels:
            for task, requests in list(self._tasks.items()):
                # A batch goes on while one of its callers waits. A stream without a reader always ends.
                if (self._raises or task in self._pieces) and all(request.cancelled for request in requests):
                    self._stop(task, CANCELLED, CALLER_GONE)
        if credit:
            for request, future in list(self._credit.items()):
                if not future.done() and _dcf_watcher.has_credit(request):
                    future.set_result(None)
        if answers:
            _dcf_chains.deliver(answers)
        self._end_if_drained()
        if not work and not self._tasks:
            self._log.flush_partial()

    def _lose(self):
        """The gateway is lost: each task ends like that of a cancelled call, or goes on and its answer is dropped."""
        self._is_lost = True
        for task, requests in list(self._tasks.items()):
            for request in requests:
                _dcf_watcher.forget(request)
            if self._raises or task in self._pieces:
                self._stop(task, CANCELLED, "the gateway has gone away")
        _dcf_chains.lose()
        self._end.set_result(None)

    def _end_if_forked(self, error=None):
        """Ends a child process that the handler forked: it never answers a call."""
        if getpid() == self._process:
            return
        if error is not None:
            self._reporter.log_exception(error)
        self._log.flush()
        _exit(0 if error is None else 1)

    def _end_if_drained(self):
        if self._is_drained and not self._tasks and not self._end.done():
            self._end.set_result(None)

    def _begin(self, requests):
        work = self._serve(requests[0]) if self._batches is None else self._serve_batch(requests)
        task = self._loop.create_task(work)
        self._tasks[task] = requests
        task.add_done_callback(self._finish)

    def _finish(self, task):
        for request in self._tasks.pop(task):
            # Does nothing if the request has been answered. A task that is cancelled before its first step has not.
            code, message = self._reasons.get(task, (INTERNAL, "the handler's task ended without a reply"))
            _dcf_watcher.refuse(request, code, message)
            _dcf_watcher.loop_done(request)
        self._reasons.pop(task, None)
        self._pieces.pop(task, None)
        if not task.cancelled() and task.exception() is not None and not self._end.done():
            # The runtime's own exception: the link is broken.
            self._end.set_exception(task.exception())
        self._flush_soon()
        self._look()

    def _stop(self, task, code, message):
        if task not in self._reasons:
            self._reasons[task] = code, message
            task.cancel()

    def _overrun(self, task):
        """The deadline of a task has passed: logs its stack and ends it."""
        if not task.done():
            try:
                stack = "".join(format_list(_stack(task.get_coro(), self._pieces.get(task))))
            except Exception as error:
                stack = f"  (its stack cannot be told: {type(error).__name__})\n"
            self._log.error.write("The deadline passed in this task (innermost last):\n" + stack)
            self._stop(task, DEADLINE_EXCEEDED, "the deadline passed while the handler worked")

    def _timer(self, seconds):
        task = asyncio.current_task()
        return None if seconds is None else self._loop.call_later(seconds, self._overrun, task)

    async def _serve(self, request):
        _dcf_context.current.set(lambda: request)
        timer = self._timer(request.remaining())
        try:
            reply = self._handler(request)
            if hasattr(type(reply), "__await__"):
                reply = await reply
            self._end_if_forked()
            if hasattr(type(reply), "__aiter__"):
                await self._answer_pieces(request, reply)
            elif hasattr(type(reply), "__next__"):
                await self._answer_pieces(request, _Steps(reply))
            else:
                _dcf_watcher.answer(request, reply)
        except _dcf_watcher.LinkError:
            raise
        except BaseException as error:
            self._fail([request], error)
        finally:
            if timer is not None:
                timer.cancel()
            self._log.flush_partial(request)

    async def _serve_batch(self, requests):
        if len(requests) == 1:
            _dcf_context.current.set(lambda: requests[0])
        left = [request.remaining() for request in requests]
        timer = self._timer(None if None in left else max(left))
        try:
            await self._batches.run_async(requests)
            self._end_if_forked()
        except _dcf_watcher.LinkError:
            raise
        except BaseException as error:
            self._fail(requests, error)
        finally:
            if timer is not None:
                timer.cancel()

    def _fail(self, requests, error):
        self._end_if_forked(error)
        reason = self._reasons.get(asyncio.current_task())
        for request in requests:
            if reason is not None and issubclass(type(error), asyncio.CancelledError):
                _dcf_watcher.refuse(request, *reason)
            else:
                _dcf_watcher.fail(request, error)

    async def _answer_pieces(self, request, pieces):
        joins = not _dcf_watcher.wants_pieces(request)
        self._pieces[asyncio.current_task()] = pieces
        try:
            answer = await (self._join(pieces) if joins else self._stream(request, pieces))
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()
        if joins:
            answer(request)

    async def _stream(self, request, pieces):
        number = 0
        turn = monotonic()
        async for piece in pieces:
            number += 1
            if not _dcf_watcher.has_credit(request):
                await self._wait_for_credit(request)
            if _dcf_watcher.piece(request, piece, number) is None:
                return
            self._flush_soon()
            now = monotonic()
            if now - turn > _TURN_SECONDS:
                await asyncio.sleep(0)
                turn = now
        _dcf_watcher.end(request)

    async def _wait_for_credit(self, request):
        _dcf_watcher.flush()
        future = self._credit[request] = self._loop.create_future()
        try:
            if not _dcf_watcher.has_credit(request):
                await future
        finally:
            del self._credit[request]

    async def _join(self, pieces):
        """Reads all pieces; returns the function that answers the request."""
        parts, size, is_text, number = [], 0, True, 0
        limit = _dcf_watcher.reply_limit()
        turn = monotonic()
        async for piece in pieces:
            number += 1
            is_text = is_text and isinstance(piece, str)
            try:
                parts.append(bytes(data(piece, number)))
            except WrongReply as wrong:
                message = str(wrong)
                self._log.error.write(f"{message}\n")
                return lambda request: _dcf_watcher.refuse(request, INTERNAL, message)
            size += len(parts[-1])
            if size > limit:
                message = f"the reply has {size} bytes, the limit is {limit}"
                return lambda request: _dcf_watcher.refuse(request, RESOURCE_EXHAUSTED, message)
            if monotonic() - turn > _TURN_SECONDS:
                await asyncio.sleep(0)
                turn = monotonic()
        joined = b"".join(parts)
        reply = joined.decode() if is_text and parts else joined
        return lambda request: _dcf_watcher.answer(request, reply)

    def _flush_soon(self):
        if not self._flushes:
            self._flushes = True
            self._loop.call_soon(self._flush)

    def _flush(self):
        self._flushes = False
        try:
            _dcf_watcher.flush()
        except BaseException as error:
            if not self._end.done():
                self._end.set_exception(error)


def _stack(awaited, pieces):
    """The frames of a coroutine and of what it awaits, without the runtime's own."""
    found = []
    while awaited is not None:
        for kind, after in (("cr", "cr_await"), ("ag", "ag_await"), ("gi", "gi_yieldfrom")):
            frame = getattr(awaited, kind + "_frame", None)
            if frame is not None:
                if not frame.f_code.co_filename.startswith("<dcf>"):
                    found.append(FrameSummary(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
                awaited = getattr(awaited, after)
                break
        else:
            # A future, or one step of a generator: the step does not know its generator, so go on with `pieces`.
            awaited, pieces = pieces, None
    return found


class _Steps:
    """Makes a plain iterator an asynchronous one."""

    def __init__(self, pieces):
        self._pieces = pieces

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return next(self._pieces)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self):
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()
