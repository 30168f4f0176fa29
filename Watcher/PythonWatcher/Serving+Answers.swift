import CPython
import Glibc
import WatcherLink

/// Answers to calls. Each function that returns a number returns how many bytes wait to be written.
extension Serving {
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

    /// Calls `body` with the bytes of a str, a bytes or a bytes-like object; returns false for any other object.
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
        // A number with the buffer protocol, such as numpy.float64, is not meant as bytes.
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

    /// Sends an Error for the handler's exception, which is set.
    func reportException(_ request: UnsafeMutablePointer<RequestObject>) throws(WatcherError) {
        let fault = runtime.describeException()
        try fail(
            request, ErrorHead(code: fault.code, executed: .yes, message: fault.message), traceback: fault.traceback)
    }

    /// Sends an Error for a reply that is neither text nor bytes.
    func refuse(_ result: PythonObject, of request: UnsafeMutablePointer<RequestObject>) throws(WatcherError) {
        try fail(request, .badReply(runtime.describeReply(result)))
    }

    /// Sends an Error, and all waiting frames.
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
    /// The reply, or one of its pieces, or all of them joined, is longer than the limit.
    static func tooLong(_ count: Int) -> ErrorHead {
        ErrorHead(
            code: .resourceExhausted, executed: .yes,
            message: "the reply has \(count) bytes, the limit is \(WatcherState.maxBodyLength)")
    }

    /// The reply, or one of its pieces, is neither text nor bytes.
    ///
    /// - Parameter message: describes it.
    static func badReply(_ message: String) -> ErrorHead {
        ErrorHead(code: .internal, executed: .yes, message: message)
    }

    /// The caller has gone away while the handler worked.
    static var cancelled: ErrorHead {
        ErrorHead(code: .cancelled, executed: .yes, message: "the caller has gone away")
    }
}
