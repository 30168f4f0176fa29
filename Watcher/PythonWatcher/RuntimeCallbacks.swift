import CPython
import Glibc

/// The functions of the Python runtime that the loop calls off its hot path. References are borrowed from the module's
/// own, which live as long as the process.
struct RuntimeCallbacks {
    /// What is known of an exception of the handler's.
    struct Fault {
        /// A gRPC status code, never 0.
        var code: UInt8 = 2
        var message = "the handler raised an exception that cannot be described"
        var traceback: [UInt8] = []
    }

    /// `(exception) -> (code, message, traceback)`: an int and two bytes; also writes the traceback to the log.
    let exceptionDescriber: PythonObject
    /// `(reply, number) -> message`, bytes: what came and what is allowed; the number is that of a piece, from 1, or
    /// None.
    let replyDescriber: PythonObject
    /// `(request or None) -> None`: writes lines that have no end yet, of a request or all.
    let partialLineFlusher: PythonObject
    /// `(iterator) -> None`: closes it before its end.
    let closer: PythonObject

    /// - Parameter arguments: a tuple of the four; its references are kept for good.
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

    /// Takes the exception that is set.
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

    /// - Parameter request: whose lines; nil means all.
    func flushPartialLines(of request: PythonObject? = nil) {
        if let result = call(partialLineFlusher, [request ?? dcf_none()]) { Py_DecRef(result) }
    }

    func close(_ iterator: PythonObject) {
        if let result = call(closer, [iterator]) { Py_DecRef(result) }
    }

    /// A child that the handler forked came back from the handler: it ends here, its parent answers.
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
