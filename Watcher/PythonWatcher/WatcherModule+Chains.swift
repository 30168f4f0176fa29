import CPython
import Glibc
import WatcherLink

/// Calls that the handler makes to other functions.
extension WatcherModule {
    /// The gateway enforces the time limit. The watcher waits this much longer for the gateway's answer.
    private static let patienceNanos: Int64 = 250_000_000

    /// `call_out(name, data, timeout, metadata, parent, watched, for_loop)`: calls another function.
    ///
    /// - `timeout` is in microseconds, 0 for none.
    /// - `metadata` is a tuple of pairs.
    /// - `parent` is the request with the deadline that applies to the call, or None.
    /// - `watched` is the request with the cancel that ends the wait, or None.
    /// - With `for_loop` the result is the call's id, and the answer comes from `loop_take`. Otherwise the function
    ///   waits for the answer, and the result is `(id, code, message, payload)`.
    static func callOut(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let name = Python.text(of: PyTuple_GetItem(arguments, 0)),
            let data = PyTuple_GetItem(arguments, 1), let timeout = PyTuple_GetItem(arguments, 2),
            let metadata = pairs(of: PyTuple_GetItem(arguments, 3)), let forLoop = PyTuple_GetItem(arguments, 6)
        else { return nil }
        let micros = PyLong_AsUnsignedLongLong(timeout)
        guard PyErr_Occurred() == nil, let parent = request(PyTuple_GetItem(arguments, 4)),
            let watched = request(PyTuple_GetItem(arguments, 5))
        else { return nil }
        guard let served = WatcherState.serving, !WatcherState.isForkedChild else {
            PyErr_SetString(dcf_connection_error(), "other functions can be called only by a replica that is ready")
            return nil
        }
        // The parent of an earlier gateway counts as answered: the gateway of today does not know its id.
        let isKnown = parent.pointer.map { !$0.pointee.isAnswered } ?? false
        let head = CallOutHead(
            parent: isKnown ? parent.pointer?.pointee.callID ?? 0 : 0, timeoutMicros: UInt64(micros), function: name,
            metadata: metadata)
        let isForLoop = PyLong_AsLong(forLoop) != 0
        var result: PythonObject?
        let none = attempt { () throws(WatcherError) in
            let id = try begin(head, data, isForLoop: isForLoop, served)
            if isForLoop {
                result = PyLong_FromLong(Int(clamping: id))
            } else {
                let until = limit(micros: UInt64(micros), parent.pointer)
                result = try answer(to: id, watched: watched.pointer, untilNanos: until, served)
            }
        }
        guard let none else { return nil }
        Py_DecRef(none)
        return result
    }

    /// `call_out_cancel(id)`: gives up a call.
    static func callOutCancel(_ object: PythonObject?) -> PythonObject? {
        guard let object, let serving = WatcherState.serving, !WatcherState.isForkedChild else { return Python.none() }
        let id = UInt64(PyLong_AsUnsignedLongLong(object))
        guard PyErr_Occurred() == nil else { return nil }
        return attempt { () throws(WatcherError) in try abandon(id, serving) }
    }

    /// The request in an argument that may be None: then `pointer` is nil. The whole is nil with an exception set.
    private static func request(_ object: PythonObject?) -> (pointer: UnsafeMutablePointer<RequestObject>?, ())? {
        if object == dcf_none() { return (nil, ()) }
        guard let request = RequestType.view(checking: object) else { return nil }
        return (request, ())
    }

    private static func pairs(of object: PythonObject?) -> [Metadatum]? {
        guard let object else { return nil }
        var pairs: [Metadatum] = []
        for index in 0..<max(0, PyTuple_Size(object)) {
            guard let pair = PyTuple_GetItem(object, index), let key = Python.text(of: PyTuple_GetItem(pair, 0)),
                let value = Python.text(of: PyTuple_GetItem(pair, 1))
            else { return nil }
            pairs.append(Metadatum(key: key, value: value))
        }
        return PyErr_Occurred() == nil ? pairs : nil
    }

    /// When the watcher gives up waiting for the gateway's answer; 0 means never.
    private static func limit(micros: UInt64, _ parent: UnsafeMutablePointer<RequestObject>?) -> Int64 {
        var limit = Int64.max
        if micros != 0 {
            let nanos = Int64(clamping: micros).multipliedReportingOverflow(by: 1_000)
            let (sum, isOver) = MonotonicClock.nowNanos().addingReportingOverflow(nanos.partialValue)
            if !nanos.overflow && !isOver { limit = sum }
        }
        if let deadline = parent?.pointee.deadlineNanos, deadline != 0 { limit = min(limit, deadline) }
        return limit > .max - patienceNanos ? 0 : limit + patienceNanos
    }

    /// Sends a CallOut.
    private static func begin(
        _ head: CallOutHead, _ data: PythonObject, isForLoop: Bool, _ serving: Serving
    ) throws(WatcherError) -> UInt64 {
        let inbox = serving.inbox
        let id = inbox.withLock {
            inbox.state.pointee.lastOutgoing += 1
            let call = OutgoingCall(id: inbox.state.pointee.lastOutgoing, isForLoop: isForLoop)
            inbox.state.pointee.outgoing.append(call)
            return call.id
        }
        do throws(WatcherError) {
            let headBytes = head.head
            let isSent = try serving.withBytes(of: data) { (bytes, _) throws(WatcherError) in
                let header = FrameHeader(
                    kind: .callOut, id: id, headLength: headBytes.count, payloadLength: bytes.count)
                _ = try headBytes.withMemory { (memory) throws(WatcherError) in
                    try serving.output.addFrame(header, head: memory, payload: bytes, at: 0, to: serving.socket)
                }
            }
            guard isSent else {
                PyErr_SetString(dcf_type_error(), "the input of a function is str, bytes or another bytes-like object")
                throw .python
            }
            try serving.output.flush(to: serving.socket)
        } catch {
            forget(id, inbox)
            throw error
        }
        return id
    }

    /// Waits for the answer, and makes a tuple of it.
    private static func answer(
        to id: UInt64, watched: UnsafeMutablePointer<RequestObject>?, untilNanos: Int64, _ serving: Serving
    ) throws(WatcherError) -> PythonObject? {
        let inbox = serving.inbox
        let isMain = PyThread_get_thread_ident() == WatcherState.mainThread
        let isInTime: Bool
        // The guard may be asleep because this thread reads the link meanwhile.
        defer { serving.activity.wakeGuard() }
        do throws(WatcherError) {
            isInTime = try inbox.wait(isMain: isMain, untilNanos: untilNanos) {
                inbox.state.pointee.outgoing.contains { $0.id == id && $0.answer != nil }
                    || watched?.isCancelled == true
            }
        } catch {
            try? abandon(id, serving)
            throw error
        }
        guard let record = inbox.withLock({ inbox.removeAnswer(to: id) }) else {
            try abandon(id, serving)
            let code: LinkStatusCode = isInTime ? .cancelled : .deadlineExceeded
            let message = isInTime ? "the caller has gone away" : "the other function did not answer in time"
            let head = CallReplyHead(code: code, executed: .maybe, message: message)
            return OutgoingAnswer(head: head, payload: UnsafeRawBufferPointer(start: nil, count: 0)).tuple(id: id)
        }
        defer { record.release() }
        return try OutgoingAnswer(record).tuple(id: id)
    }

    private static func forget(_ id: UInt64, _ inbox: LinkInbox) {
        inbox.withLock { inbox.removeAnswer(to: id) }?.release()
    }

    /// Gives up a call, and tells the gateway.
    private static func abandon(_ id: UInt64, _ serving: Serving) throws(WatcherError) {
        forget(id, serving.inbox)
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        let header = FrameHeader(kind: .cancel, id: id, headLength: 0, payloadLength: 0)
        _ = try serving.output.addFrame(header, head: nothing, payload: nothing, at: 0, to: serving.socket)
        try serving.output.flush(to: serving.socket)
    }
}

extension LinkInbox {
    /// Removes a call that the handler has made. Returns its answer if there is one; the caller of this must release
    /// it. Under the lock.
    fileprivate func removeAnswer(to id: UInt64) -> Record? {
        guard let index = state.pointee.outgoing.firstIndex(where: { $0.id == id }) else { return nil }
        return state.pointee.outgoing.remove(at: index).answer
    }
}
