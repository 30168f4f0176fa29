import CPython
import Glibc
import WatcherLink

/// What a finished call becomes on the link.
extension CallLoop {
    /// Sends what the handler returned: text, bytes or anything bytes-like.
    ///
    /// - Parameter result: borrowed.
    mutating func reply(
        to request: UnsafeMutablePointer<RequestObject>, with result: PythonObject
    ) throws(WatcherError) {
        if dcf_is_bytes(result) != 0 {
            let bytes = UnsafeRawBufferPointer(start: PyBytes_AsString(result), count: PyBytes_Size(result))
            return try send(bytes, isText: false, to: request)
        }
        if dcf_is_str(result) != 0 {
            var length = 0
            guard let start = PyUnicode_AsUTF8AndSize(result, &length) else {
                PyErr_Clear()
                return try refuse(result, of: request)
            }
            return try send(UnsafeRawBufferPointer(start: start, count: length), isText: true, to: request)
        }
        var view = Py_buffer()
        guard PyObject_CheckBuffer(result) != 0, PyObject_GetBuffer(result, &view, Int32(PyBUF_ND)) == 0 else {
            PyErr_Clear()
            return try refuse(result, of: request)
        }
        defer { PyBuffer_Release(&view) }
        // A number that knows the buffer protocol, as numpy.float64, is not what anybody means by bytes.
        if view.ndim == 0 { return try refuse(result, of: request) }
        try send(UnsafeRawBufferPointer(start: view.buf, count: view.len), isText: false, to: request)
    }

    private mutating func send(
        _ bytes: UnsafeRawBufferPointer, isText: Bool, to request: UnsafeMutablePointer<RequestObject>
    ) throws(WatcherError) {
        guard bytes.count <= WatcherState.maxBodyLength else {
            let message = "the reply has \(bytes.count) bytes, the limit is \(WatcherState.maxBodyLength)"
            return try fail(request, ErrorHead(code: 8, executed: .yes, message: message))
        }
        noteWaiting(
            try output.addReply(id: request.pointee.callID, isText: isText, payload: bytes, at: nowNanos, to: socket))
    }

    /// The handler's exception is set: it becomes an Error.
    mutating func reportException(_ request: UnsafeMutablePointer<RequestObject>) throws(WatcherError) {
        let (message, traceback) = runtime.describeException()
        try fail(request, ErrorHead(code: 2, executed: .yes, message: message), traceback: traceback)
    }

    private mutating func refuse(
        _ result: PythonObject, of request: UnsafeMutablePointer<RequestObject>
    ) throws(WatcherError) {
        let message = runtime.describeReply(result)
        try fail(request, ErrorHead(code: 13, executed: .yes, message: message))
    }

    /// Sends an Error.
    mutating func fail(
        _ request: UnsafeMutablePointer<RequestObject>, _ error: ErrorHead, traceback: [UInt8] = []
    ) throws(WatcherError) {
        let head = error.head
        let header = FrameHeader(
            kind: .error, id: request.pointee.callID, headLength: head.count, payloadLength: traceback.count)
        try head.withMemory { (headBytes) throws(WatcherError) in
            try traceback.withMemory { (payload) throws(WatcherError) in
                try output.writeFrame(header, head: headBytes, payload: payload, to: socket)
            }
        }
        noteWaiting(0)
    }
}
