import CPython

/// The extension module `_dcf_watcher`: what the Python runtime asks of this library.
enum WatcherModule {
    /// Makes the module; nil with an exception set.
    static func create() -> PythonObject? {
        // The interpreter keeps pointers to both tables as long as it lives.
        let definition = UnsafeMutablePointer<PyModuleDef>.allocate(capacity: 1)
        var empty = PyModuleDef()
        empty.m_base.ob_base.ob_refcnt = 1
        empty.m_name = literal("_dcf_watcher")
        empty.m_size = -1
        empty.m_methods = methods()
        definition.initialize(to: empty)

        guard let module = PyModule_Create2(definition, Int32(PYTHON_ABI_VERSION)),
            let request = RequestType.create(),
            let error = PyErr_NewException(literal("_dcf_watcher.LinkError"), nil, nil)
        else { return nil }
        WatcherState.linkError = error
        Py_IncRef(request)
        Py_IncRef(error)
        guard PyModule_AddObject(module, literal("Request"), request) == 0,
            PyModule_AddObject(module, literal("LinkError"), error) == 0
        else { return nil }
        return module
    }

    private static func methods() -> UnsafeMutablePointer<PyMethodDef> {
        let entries: [(StaticString, PyCFunction, Int)] = [
            ("source", { _, name in WatcherModule.source(name) }, Int(METH_O)),
            ("connect", { _, arguments in WatcherModule.connect(arguments) }, Int(METH_VARARGS)),
            ("ready", { _, micros in WatcherModule.ready(micros) }, Int(METH_O)),
            ("failed", { _, arguments in WatcherModule.failed(arguments) }, Int(METH_VARARGS)),
            ("serve", { _, arguments in WatcherModule.serve(arguments) }, Int(METH_VARARGS)),
            ("set_info", { _, info in WatcherModule.setInfo(info) }, Int(METH_O)),
            ("current_request_id", { _, _ in WatcherModule.currentRequestID() }, Int(METH_NOARGS)),
            ("line_is_partial", { _, _ in WatcherModule.lineIsPartial() }, Int(METH_NOARGS)),
            ("copy_descriptor", { _, number in WatcherModule.copyDescriptor(number) }, Int(METH_O)),
        ]
        let table = UnsafeMutablePointer<PyMethodDef>.allocate(capacity: entries.count + 1)
        for (index, entry) in entries.enumerated() {
            table[index] = PyMethodDef(
                ml_name: literal(entry.0), ml_meth: entry.1, ml_flags: Int32(entry.2), ml_doc: nil)
        }
        table[entries.count] = PyMethodDef()
        return table
    }

    private static func literal(_ text: StaticString) -> UnsafePointer<CChar> {
        UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
    }
}
