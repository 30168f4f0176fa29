import CLinux
import CPython
import Glibc
import WatcherLink

/// Functions that serve calls on a Python event loop, for async handlers. The guard's thread reads the link.
extension WatcherModule {
    /// `loop_open(concurrency, in_batches) -> int`: begins to serve an event loop. Returns a descriptor that is
    /// readable when ``loopTake(_:)`` has news.
    static func loopOpen(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let serving = WatcherState.serving, let concurrency = PyTuple_GetItem(arguments, 0),
            let inBatches = PyTuple_GetItem(arguments, 1)
        else { return nil }
        let count = PyLong_AsLong(concurrency)
        let isInBatches = PyLong_AsLong(inBatches) != 0
        guard PyErr_Occurred() == nil else { return nil }
        // Clears the news for the event loop that was served for an earlier gateway.
        var value: eventfd_t = 0
        eventfd_read(LinkGuard.loopEvent, &value)
        serving.inbox.withLock {
            serving.inbox.state.pointee.concurrency = count
            serving.inbox.state.pointee.keepsBatches = isInBatches
            serving.inbox.state.pointee.loopEvent = LinkGuard.loopEvent
            serving.inbox.state.pointee.guardReads = true
        }
        LinkGuard.wake()
        return PyLong_FromLong(Int(LinkGuard.loopEvent))
    }

    /// `loop_take(free, in_batches) -> (work, has_cancels, has_credit, answers, is_drained)`: the news since the last
    /// look; None when the gateway is lost.
    ///
    /// - `work`: the requests, or lists of requests, that begin now; `free` at most.
    /// - `has_cancels`, `has_credit`: whether a call was cancelled, whether one got credit.
    /// - `answers`: answers of other functions as `(id, code, message, payload)`.
    /// - `is_drained`: whether no more calls will come.
    static func loopTake(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let serving = WatcherState.serving, let free = PyTuple_GetItem(arguments, 0),
            let inBatches = PyTuple_GetItem(arguments, 1)
        else { return nil }
        let isInBatches = PyLong_AsLong(inBatches) != 0
        let count = PyLong_AsLong(free)
        guard PyErr_Occurred() == nil else { return nil }
        var news = LoopNews()
        let none = attemptServing { () throws(WatcherError) in
            serving.inbox.lock()
            defer { serving.inbox.unlock() }
            try news.collect(from: serving.inbox, free: count, inBatches: isInBatches)
        }
        guard let none else {
            news.release()
            return nil
        }
        Py_DecRef(none)
        if WatcherState.isLost {
            news.release()
            return Python.none()
        }
        return news.tuple(inBatches: isInBatches)
    }

    /// `loop_done(request)`: the request is answered, or never will be.
    static func loopDone(_ object: PythonObject?) -> PythonObject? {
        guard let request = RequestType.view(checking: object), let serving = WatcherState.serving else { return nil }
        serving.inbox.release(request)
        return Python.none()
    }

    /// `forget(request)`: its gateway is gone, so every answer to it from now on is dropped.
    static func forget(_ object: PythonObject?) -> PythonObject? {
        guard let request = RequestType.view(checking: object) else { return nil }
        request.pointee.isAnswered = true
        return Python.none()
    }

    // MARK: - Pieces

    /// `piece(request, piece, number) -> bool | None`: sends a piece. Returns whether another may follow at once; None
    /// if the call is answered, before or now with an error because the piece cannot be sent.
    static func piece(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let request = RequestType.view(checking: PyTuple_GetItem(arguments, 0)),
            let piece = PyTuple_GetItem(arguments, 1), let number = PyTuple_GetItem(arguments, 2),
            let serving = WatcherState.serving
        else { return nil }
        let count = PyLong_AsLong(number)
        var isSent = false
        let answer = answering(request) { (serving) throws(WatcherError) in
            let now = MonotonicClock.nowNanos()
            var tooLong: ErrorHead?
            let isBytes = try serving.withBytes(of: piece) { (bytes, isText) throws(WatcherError) in
                if bytes.count > WatcherState.maxBodyLength {
                    tooLong = .tooLong(bytes.count)
                    return
                }
                let header = FrameHeader(
                    kind: .piece, flags: isText ? .text : .none, id: request.pointee.callID, headLength: 0,
                    payloadLength: bytes.count)
                _ = dcf_atomic_add64(&request.pointee.credit, -Int64(bytes.count))
                _ = try serving.output.addFrame(
                    header, head: UnsafeRawBufferPointer(start: nil, count: 0), payload: bytes, at: now,
                    to: serving.socket)
            }
            if !isBytes {
                let message = serving.runtime.describePiece(piece, count)
                try serving.fail(request, .badReply(message))
            } else if let tooLong {
                try serving.fail(request, tooLong)
            } else {
                isSent = true
            }
        }
        guard let answer else { return nil }
        if !isSent { return answer }
        Py_DecRef(answer)
        serving.activity.wakeGuard()
        return PyBool_FromLong(dcf_atomic_load64(&request.pointee.credit) > 0 ? 1 : 0)
    }

    /// `has_credit(request) -> bool`: whether a piece may be sent.
    static func hasCredit(_ object: PythonObject?) -> PythonObject? {
        guard let request = RequestType.view(checking: object) else { return nil }
        return PyBool_FromLong(dcf_atomic_load64(&request.pointee.credit) > 0 ? 1 : 0)
    }

    /// `wants_pieces(request) -> bool`: whether the reply may come in pieces.
    static func wantsPieces(_ object: PythonObject?) -> PythonObject? {
        guard let request = RequestType.view(checking: object) else { return nil }
        return PyBool_FromLong(request.pointee.wantsPieces ? 1 : 0)
    }

    /// `end(request)`: ends a reply in pieces.
    static func end(_ object: PythonObject?) -> PythonObject? {
        guard let request = RequestType.view(checking: object) else { return nil }
        return answering(request) { (serving) throws(WatcherError) in
            _ = try serving.end(request, at: MonotonicClock.nowNanos())
        }
    }

    /// `reply_limit() -> int`: the largest reply, in bytes.
    static func replyLimit() -> PythonObject? {
        PyLong_FromLong(WatcherState.maxBodyLength)
    }
}
