import CPython

/// An object of the interpreter, used under the GIL only. A comment says where a reference is borrowed; every other
/// reference is owned, and given back with `Py_DecRef`.
typealias PythonObject = UnsafeMutablePointer<PyObject>

/// Conversions between Swift's values and the interpreter's.
enum Python {
    /// A new reference to None.
    static func none() -> PythonObject? {
        let none = dcf_none()
        Py_IncRef(none)
        return none
    }

    /// A new str; replacement characters stand for bytes that are not UTF-8.
    static func string(_ bytes: UnsafeRawBufferPointer) -> PythonObject? {
        PyUnicode_DecodeUTF8(
            bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count, "replace")
    }

    /// A new str.
    static func string(_ text: StaticString) -> PythonObject? {
        text.withUTF8Buffer { string(UnsafeRawBufferPointer($0)) }
    }

    /// A new bytes.
    static func bytes(_ bytes: [UInt8]) -> PythonObject? {
        bytes.withUnsafeBytes { buffer in
            PyBytes_FromStringAndSize(buffer.baseAddress?.assumingMemoryBound(to: CChar.self), buffer.count)
        }
    }

    /// The text of a str; nil, with a Python exception set, for any other object.
    static func text(of object: PythonObject?) -> String? {
        guard let object, dcf_is_str(object) != 0 else {
            PyErr_SetString(dcf_type_error(), "a str is needed")
            return nil
        }
        var length = 0
        guard let start = PyUnicode_AsUTF8AndSize(object, &length) else { return nil }
        return String(decoding: UnsafeRawBufferPointer(start: start, count: length), as: UTF8.self)
    }

    /// The bytes of a bytes object, valid for as long as it lives; nil for any other object.
    static func contents(of object: PythonObject?) -> UnsafeRawBufferPointer? {
        guard let object, dcf_is_bytes(object) != 0 else { return nil }
        return UnsafeRawBufferPointer(start: PyBytes_AsString(object), count: PyBytes_Size(object))
    }
}
