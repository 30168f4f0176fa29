import CPython
import Glibc
import WatcherLink

/// The functions of the Python runtime that the loop calls outside its hot path. Their references are kept as long as
/// the process lives.
struct RuntimeCallbacks {
    /// A description of an exception that the handler raised.
    struct Fault {
        /// A status code, never 0.
        var code: UInt8 = LinkStatusCode.unknown.rawValue
        var message = "the handler raised an exception that cannot be described"
        var traceback: [UInt8] = []
    }

    /// `(exception) -> (code, message, traceback)`: an int and two bytes; also writes the traceback to the log.
    let exceptionDescriber: PythonObject
    /// `(reply, number) -> message`: says in bytes what is wrong with a reply, or with the piece of that number, from
    /// 1. The number of a reply is None.
    let replyDescriber: PythonObject
    /// `(request or None) -> None`: writes the unfinished log lines of a request, or all.
    let partialLineFlusher: PythonObject
    /// `(iterator) -> None`: closes an iterator before its end.
    let closer: PythonObject

    /// - Parameter arguments: a tuple of the four functions; their references are never given back.
    init?(_ arguments: PythonObject) {
        guard let exceptionDescriber = PyTuple_GetItem(arguments, 0),
            let replyDescriber = PyTuple_GetItem(arguments, 1),
            let partialLineFlusher = PyTuple_GetItem(arguments, 2), let closer = PyTuple_GetItem(arguments, 3)
        else { return nil }
        for object in [exceptionDescriber, replyDescriber, partialLineFlusher, closer] { Py_IncRef(object) }
        self.exceptionDescriber = exceptionDescriber
        self.replyDescriber = replyDescriber
        self.partialLineFlusher = partialLineFlusher
        self.closer = closer
    }

    /// Clears and describes the exception that is set.
    func describeException() -> Fault {
        var type: PythonObject?
        var value: PythonObject?
        var traceback: PythonObject?
        PyErr_Fetch(&type, &value, &traceback)
        PyErr_NormalizeException(&type, &value, &traceback)
        defer {
            for object in [type, value, traceback] {
                if let object { Py_DecRef(object) }
            }
        }
        if let value, let traceback { _ = PyException_SetTraceback(value, traceback) }
        return value.map { describe($0) } ?? Fault()
    }

    /// - Parameter exception: borrowed.
    func describe(_ exception: PythonObject) -> Fault {
        guard let described = call(exceptionDescriber, [exception]) else { return Fault() }
        defer { Py_DecRef(described) }
        guard PyTuple_Size(described) == 3, let code = PyTuple_GetItem(described, 0),
            let message = Python.contents(of: PyTuple_GetItem(described, 1)),
            let text = Python.contents(of: PyTuple_GetItem(described, 2))
        else {
            PyErr_Clear()
            return Fault()
        }
        return Fault(
            code: UInt8(clamping: PyLong_AsLong(code)), message: String(decoding: message, as: UTF8.self),
            traceback: Array(text))
    }

    func describeReply(_ reply: PythonObject) -> String {
        describe(reply, number: dcf_none())
    }

    /// - Parameter number: from 1.
    func describePiece(_ piece: PythonObject, _ number: Int) -> String {
        guard let number = PyLong_FromLong(number) else { return describeReply(piece) }
        defer { Py_DecRef(number) }
        return describe(piece, number: number)
    }

    private func describe(_ reply: PythonObject, number: PythonObject) -> String {
        guard let described = call(replyDescriber, [reply, number]) else {
            return "the reply is neither text nor bytes"
        }
        defer { Py_DecRef(described) }
        return Python.contents(of: described).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    /// Writes unfinished log lines.
    ///
    /// - Parameter request: the request of the lines; nil means all lines.
    func flushPartialLines(of request: PythonObject? = nil) {
        if let result = call(partialLineFlusher, [request ?? dcf_none()]) { Py_DecRef(result) }
    }

    func close(_ iterator: PythonObject) {
        if let result = call(closer, [iterator]) { Py_DecRef(result) }
    }

    /// Ends a child process that the handler forked and that has returned from the handler. Its parent answers the
    /// call.
    func endForkedChild(failed: Bool) -> Never {
        if failed { _ = describeException() }
        flushPartialLines()
        _exit(failed ? 1 : 0)
    }

    /// - Returns: a new reference; nil, with no exception set, when the function failed.
    private func call(_ function: PythonObject, _ values: [PythonObject?]) -> PythonObject? {
        guard let arguments = PyTuple_New(values.count) else {
            PyErr_Clear()
            return nil
        }
        for (index, value) in values.enumerated() {
            Py_IncRef(value)
            PyTuple_SetItem(arguments, index, value)
        }
        let result = PyObject_CallObject(function, arguments)
        Py_DecRef(arguments)
        if result == nil { PyErr_Clear() }
        return result
    }
}
