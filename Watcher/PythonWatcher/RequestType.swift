import CPython

/// The Python type `Request`. It is made once, when the module is loaded.
enum RequestType {
    /// The type object; never given back. Set when the module is loaded, used under the GIL.
    nonisolated(unsafe) private(set) static var object: PythonObject?

    /// Makes a request without input and head; nil with an exception set.
    static func make() -> UnsafeMutablePointer<RequestObject>? {
        guard let object, let made = PyType_GenericAlloc(object, 0) else { return nil }
        return view(made)
    }

    /// The memory of an object; nil, with an exception set, if it is not a Request.
    static func view(checking object: PythonObject?) -> UnsafeMutablePointer<RequestObject>? {
        guard let object, object.pointee.ob_type == Self.typePointer else {
            PyErr_SetString(dcf_type_error(), "a Request is needed")
            return nil
        }
        return view(object)
    }

    private static var typePointer: UnsafeMutablePointer<PyObject>? { object }

    /// The memory of an object of this type.
    private static func view(_ object: PythonObject) -> UnsafeMutablePointer<RequestObject> {
        UnsafeMutableRawPointer(object).assumingMemoryBound(to: RequestObject.self)
    }

    /// Makes the type. The interpreter uses the tables as long as the process lives, so they are never freed.
    static func create() -> PythonObject? {
        let slots = UnsafeMutablePointer<PyType_Slot>.allocate(capacity: 8)
        let entries: [(Int, UnsafeMutableRawPointer?)] = [
            (Py_tp_dealloc, unsafeBitCast(deallocate, to: UnsafeMutableRawPointer.self)),
            (Py_tp_new, unsafeBitCast(new, to: UnsafeMutableRawPointer.self)),
            (Py_tp_repr, unsafeBitCast(represent, to: UnsafeMutableRawPointer.self)),
            (Py_tp_doc, UnsafeMutableRawPointer(mutating: Self.literal("One call of a function."))),
            (Py_tp_members, UnsafeMutableRawPointer(members())),
            (Py_tp_getset, UnsafeMutableRawPointer(properties())),
            (Py_tp_methods, UnsafeMutableRawPointer(methods())),
            (0, nil),
        ].map { (Int($0.0), $0.1) }
        for (index, entry) in entries.enumerated() {
            slots[index] = PyType_Slot(slot: Int32(entry.0), pfunc: entry.1)
        }
        var spec = PyType_Spec(
            name: literal("dcf.Request"), basicsize: Int32(RequestObject.size), itemsize: 0,
            flags: dcf_tpflags_default, slots: slots)
        object = PyType_FromSpec(&spec)
        return object
    }

    private static func members() -> UnsafeMutablePointer<PyMemberDef> {
        let table = UnsafeMutablePointer<PyMemberDef>.allocate(capacity: 2)
        table[0] = PyMemberDef(
            name: literal("input"), type: Int32(T_OBJECT_EX),
            offset: MemoryLayout<RequestObject>.offset(of: \.input) ?? 0, flags: Int32(READONLY),
            doc: literal("The caller's bytes."))
        table[1] = PyMemberDef()
        return table
    }

    private static func properties() -> UnsafeMutablePointer<PyGetSetDef> {
        let entries: [(StaticString, getter, StaticString)] = [
            (
                "request_id", { object, _ in object.flatMap { RequestType.view($0).requestID() } },
                "The call's id, as in the log."
            ),
            (
                "metadata", { object, _ in object.flatMap { RequestType.view($0).metadata() } },
                "The metadata that the caller sent with the input."
            ),
            (
                "http", { object, _ in object.flatMap { RequestType.view($0).http() } },
                "The request over HTTP: method, path, query and headers. None over another protocol."
            ),
            (
                "content_type", { object, _ in object.flatMap { RequestType.view($0).contentType() } },
                "The content type that the caller gave the input, or None."
            ),
            ("info", { _, _ in RequestType.information() }, "The function's name, version, timeout and limits."),
            (
                "deadline", { object, _ in object.flatMap { RequestType.deadline(RequestType.view($0)) } },
                "The caller's deadline on time.monotonic's clock, or None."
            ),
            (
                "cancelled",
                { object, _ in object.flatMap { PyBool_FromLong(RequestType.view($0).isCancelled ? 1 : 0) } },
                "Whether the caller has gone away."
            ),
            (
                "traceparent", { object, _ in object.flatMap { RequestType.view($0).traceparent() } },
                "The trace that the call belongs to, or None."
            ),
        ]
        let table = UnsafeMutablePointer<PyGetSetDef>.allocate(capacity: entries.count + 1)
        for (index, entry) in entries.enumerated() {
            table[index] = PyGetSetDef(
                name: literal(entry.0), get: entry.1, set: nil, doc: literal(entry.2), closure: nil)
        }
        table[entries.count] = PyGetSetDef()
        return table
    }

    private static func methods() -> UnsafeMutablePointer<PyMethodDef> {
        let entries: [(StaticString, PyCFunction, Int, StaticString)] = [
            (
                "remaining", { object, _ in object.flatMap { RequestType.remaining(RequestType.view($0)) } },
                Int(METH_NOARGS), "The seconds that the caller still waits, or None."
            ),
            (
                "set_metadata",
                { object, arguments in object.flatMap { ReplyMetadata.set(RequestType.view($0), arguments) } },
                Int(METH_VARARGS), "set_metadata(key, value): sends metadata to the caller with the reply."
            ),
            (
                "set_status",
                { object, arguments in object.flatMap { ReplyMetadata.setStatus(RequestType.view($0), arguments) } },
                Int(METH_VARARGS),
                "set_status(code, reason): the status of the reply, where the caller speaks HTTP."
            ),
        ]
        let table = UnsafeMutablePointer<PyMethodDef>.allocate(capacity: entries.count + 1)
        for (index, entry) in entries.enumerated() {
            table[index] = PyMethodDef(
                ml_name: literal(entry.0), ml_meth: entry.1, ml_flags: Int32(entry.2), ml_doc: literal(entry.3))
        }
        table[entries.count] = PyMethodDef()
        return table
    }

    private static func information() -> PythonObject? {
        guard let info = WatcherState.info else { return Python.none() }
        Py_IncRef(info)
        return info
    }

    private static func deadline(_ request: UnsafeMutablePointer<RequestObject>) -> PythonObject? {
        let nanos = request.pointee.deadlineNanos
        return nanos == 0 ? Python.none() : PyFloat_FromDouble(Double(nanos) / 1e9)
    }

    private static func remaining(_ request: UnsafeMutablePointer<RequestObject>) -> PythonObject? {
        let nanos = request.pointee.deadlineNanos
        guard nanos != 0 else { return Python.none() }
        return PyFloat_FromDouble(max(0, Double(nanos - MonotonicClock.nowNanos()) / 1e9))
    }

    /// A pointer to constant text, for C code that keeps it.
    private static func literal(_ text: StaticString) -> UnsafePointer<CChar> {
        UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
    }

    /// `Request(input)` or `Request(input, seconds)`: a call that does not come over the link, and the time that it may
    /// take.
    private static let new: @convention(c) (PythonObject?, PythonObject?, PythonObject?) -> PythonObject? = {
        type, arguments, _ in
        guard let type, let arguments, (1...2).contains(PyTuple_Size(arguments)),
            let input = PyTuple_GetItem(arguments, 0), dcf_is_bytes(input) != 0
        else {
            PyErr_SetString(dcf_type_error(), "Request(input, seconds) takes a bytes, and may take a number")
            return nil
        }
        var seconds = 0.0
        if PyTuple_Size(arguments) == 2, let number = PyTuple_GetItem(arguments, 1) {
            seconds = PyFloat_AsDouble(number)
            guard PyErr_Occurred() == nil else { return nil }
        }
        guard let made = PyType_GenericAlloc(type, 0) else { return nil }
        Py_IncRef(input)
        RequestType.view(made).pointee.input = input
        if seconds > 0 {
            // Limited, so that the nanoseconds do not overflow.
            RequestType.view(made).pointee.deadlineNanos = MonotonicClock.nowNanos() + Int64(min(seconds, 1e9) * 1e9)
        }
        return made
    }

    private static let represent: @convention(c) (PythonObject?) -> PythonObject? = { object in
        guard let object else { return nil }
        let request = RequestType.view(object)
        var head = RequestHead(UnsafeRawBufferPointer(start: request.pointee.head, count: request.pointee.headLength))
        let id = head.nextString().map { String(decoding: $0, as: UTF8.self) } ?? ""
        let text = "<Request \(id), \(Python.contents(of: request.pointee.input)?.count ?? 0) bytes>"
        return Array(text.utf8).withUnsafeBytes { Python.string($0) }
    }

    private static let deallocate: @convention(c) (PythonObject?) -> Void = { object in
        guard let object else { return }
        let type = object.pointee.ob_type
        RequestType.view(object).clear()
        PyObject_Free(object)
        // An object of a heap type owns a reference to its type.
        Py_DecRef(type)
    }
}
