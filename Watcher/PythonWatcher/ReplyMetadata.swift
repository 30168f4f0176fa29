import CPython
import WatcherLink

/// The metadata that a handler sends with its reply: `req.set_metadata(key, value)`.
enum ReplyMetadata {
    /// The largest size of all keys and values, in bytes; the gateway has the same limit.
    private static let bytesMax = 8 << 10
    private static let reasonBytesMax = 100
    private static let reserved = ["grpc-", "dcf-", ":"]

    /// `set_metadata(key, value)`; the arguments are a tuple.
    static func set(_ request: UnsafeMutablePointer<RequestObject>, _ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, PyTuple_Size(arguments) == 2, let keyObject = PyTuple_GetItem(arguments, 0),
            let valueObject = PyTuple_GetItem(arguments, 1)
        else {
            PyErr_SetString(dcf_type_error(), "set_metadata(key, value) takes two arguments")
            return nil
        }
        guard let key = Python.text(of: keyObject), let value = Python.text(of: valueObject) else { return nil }
        if let reason = refusal(key, value) {
            PyErr_SetString(dcf_value_error(), reason)
            return nil
        }
        if request.pointee.replyMetadata == nil { request.pointee.replyMetadata = PyDict_New() }
        guard let dict = request.pointee.replyMetadata else { return nil }
        let others = pairs(of: request).reduce(0) { $1.key == key ? $0 : $0 + $1.key.utf8.count + $1.value.utf8.count }
        guard others + key.utf8.count + value.utf8.count <= bytesMax else {
            PyErr_SetString(dcf_value_error(), "metadata holds \(bytesMax) bytes at most, keys and values together")
            return nil
        }
        return PyDict_SetItem(dict, keyObject, valueObject) == 0 ? Python.none() : nil
    }

    /// `set_status(code)` or `set_status(code, reason)`; the arguments are a tuple.
    static func setStatus(
        _ request: UnsafeMutablePointer<RequestObject>, _ arguments: PythonObject?
    ) -> PythonObject? {
        guard let arguments, (1...2).contains(PyTuple_Size(arguments)) else {
            PyErr_SetString(dcf_type_error(), "set_status(code, reason) takes a number, and may take a text")
            return nil
        }
        let code = PyLong_AsLong(PyTuple_GetItem(arguments, 0))
        guard PyErr_Occurred() == nil else { return nil }
        guard (200...599).contains(code) else {
            PyErr_SetString(dcf_value_error(), "\(code) is not the status of a reply, which is 200 to 599")
            return nil
        }
        var reason: String?
        if PyTuple_Size(arguments) == 2 {
            guard let text = Python.text(of: PyTuple_GetItem(arguments, 1)) else { return nil }
            guard text.utf8.count <= reasonBytesMax, text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
                PyErr_SetString(
                    dcf_value_error(), "the reason of a status is printable ASCII, at most \(reasonBytesMax) characters"
                )
                return nil
            }
            reason = text
        }
        if request.pointee.replyMetadata == nil { request.pointee.replyMetadata = PyDict_New() }
        guard let dict = request.pointee.replyMetadata, put("\(code)", at: ":status", in: dict),
            put(reason ?? "", at: ":reason", in: dict)
        else { return nil }
        return Python.none()
    }

    private static func put(_ value: String, at key: StaticString, in dict: PythonObject) -> Bool {
        guard let key = Python.string(key) else { return false }
        defer { Py_DecRef(key) }
        guard let value = Array(value.utf8).withUnsafeBytes({ Python.string($0) }) else { return false }
        defer { Py_DecRef(value) }
        return PyDict_SetItem(dict, key, value) == 0
    }

    /// The pairs that the handler has set, in order; usually empty.
    static func pairs(of request: UnsafeMutablePointer<RequestObject>) -> [Metadatum] {
        guard let dict = request.pointee.replyMetadata else { return [] }
        var pairs: [Metadatum] = []
        var position = 0
        var key: PythonObject?
        var value: PythonObject?
        while PyDict_Next(dict, &position, &key, &value) != 0 {
            if let key = Python.text(of: key), let value = Python.text(of: value) {
                pairs.append(Metadatum(key: key, value: value))
            }
        }
        return pairs
    }

    /// Why gRPC or this framework does not allow a pair; nil if it is allowed.
    private static func refusal(_ key: String, _ value: String) -> String? {
        let shown = "metadata key \"\(key)\""
        if key.isEmpty { return "a metadata key is empty" }
        if reserved.contains(where: { key.utf8.starts(with: $0.utf8) }) {
            return "\(shown) is reserved: keys must not begin with grpc-, dcf- or ':'"
        }
        let isPlain = key.utf8.allSatisfy { byte in
            (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || [0x2D, 0x2E, 0x5F].contains(byte)
        }
        if !isPlain { return "\(shown) has characters other than a-z, 0-9, '-', '_' and '.'" }
        if key.utf8.suffix(4).elementsEqual("-bin".utf8) {
            return "\(shown) ends with -bin: binary values are not supported, encode them as text"
        }
        if !value.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) {
            return "the value of \(shown) is not printable ASCII"
        }
        return nil
    }
}
