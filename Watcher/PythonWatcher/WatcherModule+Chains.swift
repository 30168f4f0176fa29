import CPython
import Glibc
import WatcherLink

/// Calls of the handler's to other functions.
extension WatcherModule {
    /// The gateway watches the time; this much later it is given up here.
    private static let patienceNanos: Int64 = 250_000_000

    /// `call_out(service, data, timeout, metadata, parent, watched, for_loop)`: calls another function. `timeout` is in
    /// seconds, 0 for none; metadata a tuple of pairs; parent the request that lends its deadline, or None; watched the
    /// one whose cancel ends the wait, or None. With `for_loop` the result is the call's id, and the answer comes from
    /// `loop_take`; else it is `(id, code, message, payload)`.
    static func callOut(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let service = Python.text(of: PyTuple_GetItem(arguments, 0)),
            let data = PyTuple_GetItem(arguments, 1), let timeout = PyTuple_GetItem(arguments, 2),
            let metadata = pairs(of: PyTuple_GetItem(arguments, 3)), let forLoop = PyTuple_GetItem(arguments, 6)
        else { return nil }
        let micros = PyLong_AsUnsignedLongLong(timeout)
        guard PyErr_Occurred() == nil, let parent = request(PyTuple_GetItem(arguments, 4)),
            let watched = request(PyTuple_GetItem(arguments, 5))
        else { return nil }
        guard let served = WatcherState.service, !WatcherState.isForkedChild else {
            PyErr_SetString(dcf_connection_error(), "other functions can be called only by a replica that is ready")
            return nil
        }
        // A gateway knows nothing of what an earlier one asked for.
        let isKnown = parent.pointer.map { !$0.pointee.isAnswered } ?? false
        let head = CallOutHead(
            parent: isKnown ? parent.pointer?.pointee.callID ?? 0 : 0, timeoutMicros: UInt64(micros), service: service,
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

    /// `call_out_cancel(id)`: nobody waits for it any more.
    static func callOutCancel(_ object: PythonObject?) -> PythonObject? {
        guard let object, let service = WatcherState.service, !WatcherState.isForkedChild else { return Python.none() }
        let id = UInt64(PyLong_AsUnsignedLongLong(object))
        guard PyErr_Occurred() == nil else { return nil }
        return attempt { () throws(WatcherError) in try abandon(id, service) }
    }

    /// What a Request argument is; `pointer` is nil for None, and the whole is nil with an exception set.
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

    /// When the gateway must have answered.
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
        _ head: CallOutHead, _ data: PythonObject, isForLoop: Bool, _ service: Service
    ) throws(WatcherError) -> UInt64 {
        let inbox = service.inbox
        let id = inbox.withLock {
            inbox.state.pointee.lastOutgoing += 1
            let call = OutgoingCall(id: inbox.state.pointee.lastOutgoing, isForLoop: isForLoop)
            inbox.state.pointee.outgoing.append(call)
            return call.id
        }
        do throws(WatcherError) {
            let headBytes = head.head
            let isSent = try service.withBytes(of: data) { (bytes, _) throws(WatcherError) in
                let header = FrameHeader(
                    kind: .callOut, id: id, headLength: headBytes.count, payloadLength: bytes.count)
                _ = try headBytes.withMemory { (memory) throws(WatcherError) in
                    try service.output.addFrame(header, head: memory, payload: bytes, at: 0, to: service.socket)
                }
            }
            guard isSent else {
                PyErr_SetString(dcf_type_error(), "the input of a function is str, bytes or another bytes-like object")
                throw .python
            }
            try service.output.flush(to: service.socket)
        } catch {
            forget(id, inbox)
            throw error
        }
        return id
    }

    /// Waits for the answer, and makes a tuple of it.
    private static func answer(
        to id: UInt64, watched: UnsafeMutablePointer<RequestObject>?, untilNanos: Int64, _ service: Service
    ) throws(WatcherError) -> PythonObject? {
        let inbox = service.inbox
        let isMain = PyThread_get_thread_ident() == WatcherState.mainThread
        let isInTime: Bool
        // It may sleep, as this thread reads meanwhile.
        defer { service.activity.wakeGuard() }
        do throws(WatcherError) {
            isInTime = try inbox.wait(isMain: isMain, untilNanos: untilNanos) {
                inbox.state.pointee.outgoing.contains { $0.id == id && $0.answer != nil }
                    || watched?.isCancelled == true
            }
        } catch {
            try? abandon(id, service)
            throw error
        }
        guard let record = inbox.withLock({ inbox.removeAnswer(to: id) }) else {
            try abandon(id, service)
            let code: UInt8 = isInTime ? 1 : 4
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

    /// Tells the gateway that nobody waits.
    private static func abandon(_ id: UInt64, _ service: Service) throws(WatcherError) {
        forget(id, service.inbox)
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        let header = FrameHeader(kind: .cancel, id: id, headLength: 0, payloadLength: 0)
        _ = try service.output.addFrame(header, head: nothing, payload: nothing, at: 0, to: service.socket)
        try service.output.flush(to: service.socket)
    }
}

extension LinkInbox {
    /// Forgets a call of the handler's; its answer, if there is one, is the caller's to release. Under the lock.
    fileprivate func removeAnswer(to id: UInt64) -> Record? {
        guard let index = state.pointee.outgoing.firstIndex(where: { $0.id == id }) else { return nil }
        return state.pointee.outgoing.remove(at: index).answer
    }
}
