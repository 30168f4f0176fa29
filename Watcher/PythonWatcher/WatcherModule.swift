import CPython

/// The extension module `_dcf_watcher`: the functions of this library that the Python runtime calls.
///
/// `Runtime/_dcf_watcher.pyi` describes them for Python. A test holds the two lists equal.
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
            ("begin_serving", { _, arguments in WatcherModule.beginServing(arguments) }, Int(METH_VARARGS)),
            ("serve", { _, arguments in WatcherModule.serve(arguments) }, Int(METH_VARARGS)),
            ("serve_threads", { _, _ in WatcherModule.serveThreads() }, Int(METH_NOARGS)),
            ("work", { _, arguments in WatcherModule.work(arguments) }, Int(METH_VARARGS)),
            ("current_request", { _, index in WatcherModule.currentRequest(index) }, Int(METH_O)),
            ("current_batch", { _, _ in WatcherModule.currentBatch() }, Int(METH_NOARGS)),
            ("focus", { _, request in WatcherModule.focus(request) }, Int(METH_O)),
            ("answer", { _, arguments in WatcherModule.answer(arguments) }, Int(METH_VARARGS)),
            ("fail", { _, arguments in WatcherModule.fail(arguments) }, Int(METH_VARARGS)),
            ("refuse", { _, arguments in WatcherModule.refuse(arguments) }, Int(METH_VARARGS)),
            ("flush", { _, _ in WatcherModule.flush() }, Int(METH_NOARGS)),
            ("loop_open", { _, arguments in WatcherModule.loopOpen(arguments) }, Int(METH_VARARGS)),
            ("loop_take", { _, arguments in WatcherModule.loopTake(arguments) }, Int(METH_VARARGS)),
            ("loop_done", { _, request in WatcherModule.loopDone(request) }, Int(METH_O)),
            ("forget", { _, request in WatcherModule.forget(request) }, Int(METH_O)),
            ("piece", { _, arguments in WatcherModule.piece(arguments) }, Int(METH_VARARGS)),
            ("has_credit", { _, request in WatcherModule.hasCredit(request) }, Int(METH_O)),
            ("wants_pieces", { _, request in WatcherModule.wantsPieces(request) }, Int(METH_O)),
            ("end", { _, request in WatcherModule.end(request) }, Int(METH_O)),
            ("reply_limit", { _, _ in WatcherModule.replyLimit() }, Int(METH_NOARGS)),
            ("call_out", { _, arguments in WatcherModule.callOut(arguments) }, Int(METH_VARARGS)),
            ("call_out_cancel", { _, id in WatcherModule.callOutCancel(id) }, Int(METH_O)),
            ("drain", { _, _ in WatcherModule.drain() }, Int(METH_NOARGS)),
            ("may_return", { _, seconds in WatcherModule.mayReturn(seconds) }, Int(METH_O)),
            ("is_lost", { _, _ in WatcherModule.isLost() }, Int(METH_NOARGS)),
            ("reconnect", { _, arguments in WatcherModule.reconnect(arguments) }, Int(METH_VARARGS)),
            ("keep_health_file", { _, _ in WatcherModule.keepHealthFile() }, Int(METH_NOARGS)),
            ("set_info", { _, info in WatcherModule.setInfo(info) }, Int(METH_O)),
            ("line_is_partial", { _, _ in WatcherModule.lineIsPartial() }, Int(METH_NOARGS)),
            ("end_group", { _, _ in WatcherModule.endGroup() }, Int(METH_NOARGS)),
            ("flush_stdio", { _, _ in WatcherModule.flushStdio() }, Int(METH_NOARGS)),
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
