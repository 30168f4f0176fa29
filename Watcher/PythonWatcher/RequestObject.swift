import CLinux
import CPython
import Glibc

/// The memory of a `dcf.Request`, Python's view of one call.
///
/// There is one for every call, so it is made with `input` only. Its texts are decoded when the handler asks for them.
struct RequestObject {
    /// A head up to this length is kept inside the object, a longer one on the heap.
    static let inlineHeadCapacity = 96

    var base: PyObject
    /// The bytes object with the caller's input; owned.
    var input: PythonObject?
    /// The str, once the handler has asked for it; owned.
    var requestID: PythonObject?
    /// The dict, once the handler has asked for it; owned.
    var metadata: PythonObject?
    /// The memory of the head: after this structure, or on the heap.
    var head: UnsafeMutableRawPointer?
    /// The length of the head in bytes: request id, number of pairs, pairs. The head was checked when it was read.
    var headLength: Int
    /// The call's id on the link.
    var callID: UInt64
    /// The caller's deadline, on MonotonicClock; 0 means none.
    var deadlineNanos: Int64
    /// How many bytes of pieces may still be sent; the thread that reads the link changes it through
    /// `dcf_atomic_add64`.
    var credit: Int64
    /// 1 when the caller no longer waits; the thread that reads the link sets it through `dcf_atomic_store`.
    var isCancelled: Int32
    /// Whether the reply may come in pieces.
    var wantsPieces: Bool
    /// Whether a Reply, an End or an Error has been sent.
    var isAnswered: Bool
    /// A dict of the metadata that the handler has set for the reply; owned.
    var replyMetadata: PythonObject?

    /// `tp_basicsize`.
    static let size = MemoryLayout<RequestObject>.size + inlineHeadCapacity
}

extension UnsafeMutablePointer<RequestObject> {
    /// This object as the C API's type.
    var object: PythonObject {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: PyObject.self)
    }

    /// Copies a head that ``RequestHead`` has checked.
    func keep(head source: UnsafeRawBufferPointer) {
        let target: UnsafeMutableRawPointer
        if source.count <= RequestObject.inlineHeadCapacity {
            target = UnsafeMutableRawPointer(self) + MemoryLayout<RequestObject>.size
        } else {
            target = UnsafeMutableRawPointer.allocate(byteCount: source.count, alignment: 1)
        }
        if let start = source.baseAddress { memcpy(target, start, source.count) }
        pointee.head = target
        pointee.headLength = source.count
    }

    /// Gives back everything that the object owns, but not the object itself.
    func clear() {
        if let input = pointee.input { Py_DecRef(input) }
        if let requestID = pointee.requestID { Py_DecRef(requestID) }
        if let metadata = pointee.metadata { Py_DecRef(metadata) }
        if let replyMetadata = pointee.replyMetadata { Py_DecRef(replyMetadata) }
        if pointee.headLength > RequestObject.inlineHeadCapacity { pointee.head?.deallocate() }
    }

    var isCancelled: Bool { dcf_atomic_load(&pointee.isCancelled) != 0 }

    private var headBytes: RequestHead {
        RequestHead(UnsafeRawBufferPointer(start: pointee.head, count: pointee.headLength))
    }

    /// A new reference to the request's id, a str; nil with an exception set.
    func requestID() -> PythonObject? {
        if pointee.requestID == nil {
            var head = headBytes
            pointee.requestID = Python.string(head.nextString() ?? UnsafeRawBufferPointer(start: nil, count: 0))
        }
        if let made = pointee.requestID { Py_IncRef(made) }
        return pointee.requestID
    }

    /// A new reference to the gateway's `traceparent`, a str or None; nil with an exception set.
    func traceparent() -> PythonObject? {
        var head = headBytes
        _ = head.nextString()
        for _ in 0..<(head.nextCount() ?? 0) {
            guard let key = head.nextString(), let value = head.nextString() else { break }
            if key.elementsEqual("traceparent".utf8) { return Python.string(value) }
        }
        return Python.none()
    }

    /// A new reference to what `req.http` is: the request's line and headers, or None for a call over another protocol;
    /// nil with an exception set.
    func http() -> PythonObject? {
        let names: [StaticString] = [":method", ":path", ":query"]
        var values: [UnsafeRawBufferPointer?] = [nil, nil, nil]
        var head = headBytes
        _ = head.nextString()
        for _ in 0..<(head.nextCount() ?? 0) {
            guard let key = head.nextString(), let value = head.nextString() else { break }
            guard key.first == UInt8(ascii: ":") else { continue }
            for index in names.indices where names[index].withUTF8Buffer({ key.elementsEqual($0) }) {
                values[index] = value
            }
        }
        guard values.allSatisfy({ $0 != nil }) else { return Python.none() }
        guard let module = PyImport_ImportModule("_dcf_http") else { return nil }
        defer { Py_DecRef(module) }
        guard let type = PyObject_GetAttrString(module, "Http") else { return nil }
        defer { Py_DecRef(type) }
        guard let arguments = PyTuple_New(names.count + 1) else { return nil }
        defer { Py_DecRef(arguments) }
        // Each becomes the tuple's.
        for (index, value) in values.enumerated() {
            guard let text = value.flatMap({ Python.string($0) }) else { return nil }
            PyTuple_SetItem(arguments, index, text)
        }
        guard let headers = metadata() else { return nil }
        PyTuple_SetItem(arguments, names.count, headers)
        return PyObject_CallObject(type, arguments)
    }

    /// A new reference to the content type that the caller gave the input, a str or None; nil with an exception set.
    func contentType() -> PythonObject? {
        guard let headers = metadata() else { return nil }
        defer { Py_DecRef(headers) }
        guard let key = Python.string("content-type") else { return nil }
        defer { Py_DecRef(key) }
        guard let found = PyDict_GetItemWithError(headers, key) else {
            return PyErr_Occurred() == nil ? Python.none() : nil
        }
        Py_IncRef(found)
        return found
    }

    /// A new reference to the caller's metadata, a dict without the gateway's own keys; nil with an exception set.
    func metadata() -> PythonObject? {
        if pointee.metadata == nil {
            guard let dict = PyDict_New() else { return nil }
            var head = headBytes
            _ = head.nextString()
            for _ in 0..<(head.nextCount() ?? 0) {
                guard let key = head.nextString(), let value = head.nextString() else { break }
                if key.starts(with: "dcf-".utf8) || key.first == UInt8(ascii: ":") { continue }
                guard Self.add(key, value, to: dict) else {
                    Py_DecRef(dict)
                    return nil
                }
            }
            pointee.metadata = dict
        }
        if let made = pointee.metadata { Py_IncRef(made) }
        return pointee.metadata
    }

    /// Values of a key that comes more than once are joined with commas, as gRPC defines it.
    private static func add(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, to dict: PythonObject
    ) -> Bool {
        guard let name = Python.string(key) else { return false }
        defer { Py_DecRef(name) }
        guard var text = Python.string(value) else { return false }
        if let earlier = PyDict_GetItemWithError(dict, name) {
            let comma = StaticString(",").withUTF8Buffer { Python.string(UnsafeRawBufferPointer($0)) }
            let parts = [comma, text]
            var joined: PythonObject? = earlier
            Py_IncRef(earlier)
            for part in parts {
                guard let before = joined, let part else { return false }
                joined = PyUnicode_Concat(before, part)
                Py_DecRef(before)
                Py_DecRef(part)
            }
            guard let joined else { return false }
            text = joined
        }
        defer { Py_DecRef(text) }
        return PyDict_SetItem(dict, name, text) == 0
    }
}
