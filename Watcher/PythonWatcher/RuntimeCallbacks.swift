import CPython
import Glibc

/// The functions of the Python runtime that the loop calls off its hot path. References are borrowed from `serve`'s
/// arguments, which outlive the loop.
struct RuntimeCallbacks {
    /// `(exception) -> (message, traceback)`, both bytes; also writes the traceback to the log.
    let exceptionDescriber: PythonObject
    /// `(reply) -> message`, bytes: what came and what is allowed.
    let replyDescriber: PythonObject
    /// `() -> None`: writes lines that have no end yet.
    let partialLineFlusher: PythonObject

    /// Takes the exception that is set.
    func describeException() -> (message: String, traceback: [UInt8]) {
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
        guard let value, let described = call(exceptionDescriber, value) else {
            return ("the handler raised an exception that cannot be described", [])
        }
        defer { Py_DecRef(described) }
        guard PyTuple_Size(described) == 2,
            let message = Python.contents(of: PyTuple_GetItem(described, 0)),
            let text = Python.contents(of: PyTuple_GetItem(described, 1))
        else {
            PyErr_Clear()
            return ("the handler raised an exception that cannot be described", [])
        }
        return (String(decoding: message, as: UTF8.self), Array(text))
    }

    func describeReply(_ reply: PythonObject) -> String {
        guard let described = call(replyDescriber, reply) else { return "the reply is neither text nor bytes" }
        defer { Py_DecRef(described) }
        return Python.contents(of: described).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    func flushPartialLines() {
        if let result = PyObject_CallObject(partialLineFlusher, nil) {
            Py_DecRef(result)
        } else {
            PyErr_Clear()
        }
    }

    /// A child that the handler forked came back from the handler: it ends here, its parent answers.
    func endForkedChild(failed: Bool) -> Never {
        if failed { _ = describeException() }
        flushPartialLines()
        _exit(failed ? 1 : 0)
    }

    private func call(_ function: PythonObject, _ argument: PythonObject) -> PythonObject? {
        guard let arguments = PyTuple_New(1) else {
            PyErr_Clear()
            return nil
        }
        Py_IncRef(argument)
        PyTuple_SetItem(arguments, 0, argument)
        let result = PyObject_CallObject(function, arguments)
        Py_DecRef(arguments)
        if result == nil { PyErr_Clear() }
        return result
    }
}
