import CLinux
import CPython
import Glibc
import WatcherLink

/// Serving calls on an event loop of Python's, for handlers that are coroutines. The guard's thread reads the link.
extension WatcherModule {
    /// `loop_open(concurrency, in_batches) -> int`: a descriptor that can be read from when ``loopTake`` has something to
    /// tell.
    static func loopOpen(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let service = WatcherState.service, let concurrency = PyTuple_GetItem(arguments, 0),
            let inBatches = PyTuple_GetItem(arguments, 1)
        else { return nil }
        let count = PyLong_AsLong(concurrency)
        let isInBatches = PyLong_AsLong(inBatches) != 0
        guard PyErr_Occurred() == nil else { return nil }
        // What an earlier service's loop was told is no news for this one's.
        var value: eventfd_t = 0
        eventfd_read(LinkGuard.loopEvent, &value)
        service.inbox.withLock {
            service.inbox.state.pointee.concurrency = count
            service.inbox.state.pointee.keepsBatches = isInBatches
            service.inbox.state.pointee.loopEvent = LinkGuard.loopEvent
            service.inbox.state.pointee.guardReads = true
        }
        LinkGuard.wake()
        return PyLong_FromLong(Int(LinkGuard.loopEvent))
    }

    /// `loop_take(free, in_batches) -> (work, has_cancels, has_credit, answers, is_drained)`: requests, or lists of
    /// them, that begin now, `free` at most; whether a call was cancelled or got credit since; answers of other
    /// functions as `(id, code, message, payload)`; whether no more will come. None when the gateway is lost.
    static func loopTake(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let service = WatcherState.service, let free = PyTuple_GetItem(arguments, 0),
            let inBatches = PyTuple_GetItem(arguments, 1)
        else { return nil }
        let isInBatches = PyLong_AsLong(inBatches) != 0
        let count = PyLong_AsLong(free)
        guard PyErr_Occurred() == nil else { return nil }
        var news = LoopNews()
        let none = attemptServing { () throws(WatcherError) in
            service.inbox.lock()
            defer { service.inbox.unlock() }
            try news.take(from: service.inbox, free: count, inBatches: isInBatches)
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

    /// `loop_done(request)`: it was answered, or never will be.
    static func loopDone(_ object: PythonObject?) -> PythonObject? {
        guard let request = RequestType.view(checking: object), let service = WatcherState.service else { return nil }
        service.inbox.release(request)
        return Python.none()
    }

    /// `forget(request)`: its gateway is gone; whatever is said of it from now on is said to nobody.
    static func forget(_ object: PythonObject?) -> PythonObject? {
        guard let request = RequestType.view(checking: object) else { return nil }
        request.pointee.isAnswered = true
        return Python.none()
    }

    // MARK: - Pieces

    /// `piece(request, piece, number) -> bool | None`: sends one; whether another may follow at once. None when it
    /// cannot be sent: the call has failed with that.
    static func piece(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let request = RequestType.view(checking: PyTuple_GetItem(arguments, 0)),
            let piece = PyTuple_GetItem(arguments, 1), let number = PyTuple_GetItem(arguments, 2),
            let service = WatcherState.service
        else { return nil }
        let count = PyLong_AsLong(number)
        var isSent = false
        let answer = answering(request) { (service) throws(WatcherError) in
            let now = MonotonicClock.nowNanos()
            var tooLong: ErrorHead?
            let isBytes = try service.withBytes(of: piece) { (bytes, isText) throws(WatcherError) in
                if bytes.count > WatcherState.maxBodyLength {
                    tooLong = .tooLong(bytes.count)
                    return
                }
                let header = FrameHeader(
                    kind: .piece, flags: isText ? .text : .none, id: request.pointee.callID, headLength: 0,
                    payloadLength: bytes.count)
                _ = dcf_atomic_add64(&request.pointee.credit, -Int64(bytes.count))
                _ = try service.output.addFrame(
                    header, head: UnsafeRawBufferPointer(start: nil, count: 0), payload: bytes, at: now,
                    to: service.socket)
            }
            if !isBytes {
                let message = service.runtime.describePiece(piece, count)
                try service.fail(request, ErrorHead(code: 13, executed: .yes, message: message))
            } else if let tooLong {
                try service.fail(request, tooLong)
            } else {
                isSent = true
            }
        }
        guard let answer else { return nil }
        if !isSent { return answer }
        Py_DecRef(answer)
        service.activity.wakeGuard()
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

    /// `end(request)`: all pieces were sent.
    static func end(_ object: PythonObject?) -> PythonObject? {
        guard let request = RequestType.view(checking: object) else { return nil }
        return answering(request) { (service) throws(WatcherError) in
            _ = try service.end(request, at: MonotonicClock.nowNanos())
        }
    }

    /// `reply_limit() -> int`: the largest reply, in bytes.
    static func replyLimit() -> PythonObject? {
        PyLong_FromLong(WatcherState.maxBodyLength)
    }
}
