import CPython
import Glibc
import WatcherLink

/// What a finished call becomes on the link. Each returns the bytes that wait to be written.
extension Service {
    /// Sends what the handler returned: text, bytes or anything bytes-like.
    ///
    /// - Parameter result: borrowed.
    func reply(
        to request: UnsafeMutablePointer<RequestObject>, with result: PythonObject, at nowNanos: Int64
    ) throws(WatcherError) -> Int {
        var waiting = 0
        let isSent = try withBytes(of: result) { (bytes, isText) throws(WatcherError) in
            waiting = try send(bytes, isText: isText, to: request, at: nowNanos)
        }
        if isSent { return waiting }
        try refuse(result, of: request)
        return 0
    }

    /// Lends the bytes of text, bytes or anything bytes-like; false for any other object.
    func withBytes(
        of object: PythonObject, _ body: (UnsafeRawBufferPointer, _ isText: Bool) throws(WatcherError) -> Void
    ) throws(WatcherError) -> Bool {
        if dcf_is_bytes(object) != 0 {
            try body(UnsafeRawBufferPointer(start: PyBytes_AsString(object), count: PyBytes_Size(object)), false)
            return true
        }
        if dcf_is_str(object) != 0 {
            var length = 0
            guard let start = PyUnicode_AsUTF8AndSize(object, &length) else {
                PyErr_Clear()
                return false
            }
            try body(UnsafeRawBufferPointer(start: start, count: length), true)
            return true
        }
        var view = Py_buffer()
        guard PyObject_CheckBuffer(object) != 0, PyObject_GetBuffer(object, &view, Int32(PyBUF_ND)) == 0 else {
            PyErr_Clear()
            return false
        }
        defer { PyBuffer_Release(&view) }
        // A number that knows the buffer protocol, as numpy.float64, is not what anybody means by bytes.
        if view.ndim == 0 { return false }
        try body(UnsafeRawBufferPointer(start: view.buf, count: view.len), false)
        return true
    }

    /// Sends a whole reply.
    func send(
        _ bytes: UnsafeRawBufferPointer, isText: Bool, to request: UnsafeMutablePointer<RequestObject>,
        at nowNanos: Int64
    ) throws(WatcherError) -> Int {
        guard bytes.count <= WatcherState.maxBodyLength else {
            try fail(request, .tooLong(bytes.count))
            return 0
        }
        request.pointee.isAnswered = true
        if request.pointee.replyMetadata == nil {
            return try output.addReply(
                id: request.pointee.callID, isText: isText, payload: bytes, at: nowNanos, to: socket)
        }
        let head = ReplyHead(metadata: ReplyMetadata.pairs(of: request)).head
        let header = FrameHeader(
            kind: .reply, flags: isText ? .text : .none, id: request.pointee.callID, headLength: head.count,
            payloadLength: bytes.count)
        return try add(header, head: head, payload: bytes, at: nowNanos)
    }

    /// Sends the end of a reply in pieces.
    func end(_ request: UnsafeMutablePointer<RequestObject>, at nowNanos: Int64) throws(WatcherError) -> Int {
        request.pointee.isAnswered = true
        let head = ReplyHead(metadata: ReplyMetadata.pairs(of: request)).head
        let header = FrameHeader(kind: .end, id: request.pointee.callID, headLength: head.count, payloadLength: 0)
        return try add(header, head: head, payload: UnsafeRawBufferPointer(start: nil, count: 0), at: nowNanos)
    }

    /// The handler's exception is set: it becomes an Error.
    func reportException(_ request: UnsafeMutablePointer<RequestObject>) throws(WatcherError) {
        let fault = runtime.describeException()
        try fail(
            request, ErrorHead(code: fault.code, executed: .yes, message: fault.message), traceback: fault.traceback)
    }

    /// A reply that is neither text nor bytes becomes an Error.
    func refuse(_ result: PythonObject, of request: UnsafeMutablePointer<RequestObject>) throws(WatcherError) {
        let message = runtime.describeReply(result)
        try fail(request, ErrorHead(code: 13, executed: .yes, message: message))
    }

    /// Sends an Error, and all that waits.
    func fail(
        _ request: UnsafeMutablePointer<RequestObject>, _ error: ErrorHead, traceback: [UInt8] = []
    ) throws(WatcherError) {
        request.pointee.isAnswered = true
        var error = error
        error.metadata = ReplyMetadata.pairs(of: request)
        let head = error.head
        let header = FrameHeader(
            kind: .error, id: request.pointee.callID, headLength: head.count, payloadLength: traceback.count)
        _ = try traceback.withMemory { (payload) throws(WatcherError) in
            try add(header, head: head, payload: payload, at: 0)
        }
        try output.flush(to: socket)
    }

    private func add(
        _ header: FrameHeader, head: [UInt8], payload: UnsafeRawBufferPointer, at nowNanos: Int64
    ) throws(WatcherError) -> Int {
        try head.withMemory { (headBytes) throws(WatcherError) in
            try output.addFrame(header, head: headBytes, payload: payload, at: nowNanos, to: socket)
        }
    }
}

extension ErrorHead {
    /// A reply, or all its pieces together, above the limit.
    static func tooLong(_ count: Int) -> ErrorHead {
        ErrorHead(
            code: 8, executed: .yes,
            message: "the reply has \(count) bytes, the limit is \(WatcherState.maxBodyLength)")
    }

    /// The caller has gone away while the handler worked.
    static var cancelled: ErrorHead {
        ErrorHead(code: 1, executed: .yes, message: "the caller has gone away")
    }
}
