import CPython
import WatcherLink

/// Serving calls, for handlers that are plain functions.
extension WatcherModule {
    /// `open_service((describe_exception, describe_reply, flush_partial_lines, close), cancelled, style, threads)`:
    /// before anything is served. `style` is 0 (a cancel sets the flag), 1 (it raises in the main thread too), 2 (in
    /// the thread that runs the call).
    static func openService(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let functions = PyTuple_GetItem(arguments, 0), let runtime = RuntimeCallbacks(functions),
            let cancelled = PyTuple_GetItem(arguments, 1), let style = PyTuple_GetItem(arguments, 2),
            let threads = PyTuple_GetItem(arguments, 3)
        else { return nil }
        let service = Service(socket: LinkSocket(descriptor: WatcherState.descriptor), runtime: runtime)
        Py_IncRef(cancelled)
        Cancellation.type = cancelled
        switch PyLong_AsLong(style) {
        case 1: service.inbox.state.pointee.cancelStyle = .raiseInMain
        case 2: service.inbox.state.pointee.cancelStyle = .raiseInThread
        default: break
        }
        let count = PyLong_AsLong(threads)
        guard PyErr_Occurred() == nil else { return nil }
        WatcherState.makeRoom(for: max(1, count))
        WatcherState.slots.pointee.thread = PyThread_get_thread_ident()
        WatcherState.mainThread = PyThread_get_thread_ident()
        WatcherState.service = service
        LinkGuard.attend(service)
        if WatcherState.mustDrain { leave(service) }
        return Python.none()
    }

    /// `serve(handler, in_batches)`: one call after another on this thread, the main one, until a drain is done.
    static func serve(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let service = WatcherState.service, let handler = PyTuple_GetItem(arguments, 0),
            let inBatches = PyTuple_GetItem(arguments, 1)
        else { return nil }
        return attemptServing { () throws(WatcherError) in
            var loop = CallLoop(service: service, handler: handler)
            try loop.run(inBatches: PyLong_AsLong(inBatches) != 0)
        }
    }

    /// `serve_threads()`: reads for the threads that are in `work`, until a drain is done.
    static func serveThreads() -> PythonObject? {
        guard let service = WatcherState.service else { return Python.none() }
        return attemptServing { () throws(WatcherError) in try ThreadedLoop(service: service).read() }
    }

    /// `work(handler, index)`: runs calls on this thread.
    static func work(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let service = WatcherState.service, let handler = PyTuple_GetItem(arguments, 0),
            let index = PyTuple_GetItem(arguments, 1)
        else { return nil }
        let number = PyLong_AsLong(index)
        guard PyErr_Occurred() == nil, (0..<WatcherState.slotCount).contains(number) else { return nil }
        return attemptServing { () throws(WatcherError) in
            try ThreadedLoop(service: service).work(handler, index: number)
        }
    }

    static func attemptServing(_ body: () throws(WatcherError) -> Void) -> PythonObject? {
        attempt { () throws(WatcherError) in
            do throws(WatcherError) {
                try body()
            } catch .ended {
                if WatcherState.isDraining != 0 { return }
                // The end of the link is the replica's, for which the guard leaves it a moment.
                guard WatcherState.returnSeconds > 0 else { throw .ended }
                WatcherState.isLost = true
            }
        }
    }

    // MARK: - What the handler's threads are at

    /// `current_request(index) -> Request | None`: what a thread that runs the handler works on.
    static func currentRequest(_ index: PythonObject?) -> PythonObject? {
        guard let index else { return nil }
        let number = PyLong_AsLong(index)
        guard PyErr_Occurred() == nil, (0..<WatcherState.slotCount).contains(number),
            let request = WatcherState.slots[number].current
        else { return PyErr_Occurred() == nil ? Python.none() : nil }
        Py_IncRef(request.object)
        return request.object
    }

    /// `current_batch() -> list | None`: the requests that the handler works on together.
    static func currentBatch() -> PythonObject? {
        guard let batch = WatcherState.slots.pointee.batch else { return Python.none() }
        Py_IncRef(batch)
        return batch
    }

    /// `focus(request or None)`: of the batch, the one that is worked on alone.
    static func focus(_ object: PythonObject?) -> PythonObject? {
        if object == dcf_none() {
            WatcherState.slots.pointee.current = nil
            return Python.none()
        }
        guard let request = RequestType.view(checking: object) else { return nil }
        WatcherState.slots.pointee.current = request
        return Python.none()
    }

    // MARK: - Answers

    /// `answer(request, reply)`: what the handler returned for it.
    static func answer(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let request = RequestType.view(checking: PyTuple_GetItem(arguments, 0)),
            let reply = PyTuple_GetItem(arguments, 1)
        else { return nil }
        return answering(request) { (service) throws(WatcherError) in
            _ = try service.reply(to: request, with: reply, at: MonotonicClock.nowNanos())
        }
    }

    /// `fail(request, exception)`: what was raised for it.
    static func fail(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let request = RequestType.view(checking: PyTuple_GetItem(arguments, 0)),
            let exception = PyTuple_GetItem(arguments, 1)
        else { return nil }
        return answering(request) { (service) throws(WatcherError) in
            let fault = service.runtime.describe(exception)
            let head = ErrorHead(code: fault.code, executed: .yes, message: fault.message)
            try service.fail(request, head, traceback: fault.traceback)
        }
    }

    /// `refuse(request, code, message)`: an error in words, a str; the handler ran.
    static func refuse(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let request = RequestType.view(checking: PyTuple_GetItem(arguments, 0)),
            let code = PyTuple_GetItem(arguments, 1), let message = Python.text(of: PyTuple_GetItem(arguments, 2))
        else { return nil }
        let number = UInt8(clamping: PyLong_AsLong(code))
        return answering(request) { (service) throws(WatcherError) in
            try service.fail(request, ErrorHead(code: number, executed: .yes, message: message))
        }
    }

    /// `flush()`: finished answers are written.
    static func flush() -> PythonObject? {
        guard let service = WatcherState.service else { return Python.none() }
        return attemptSending { () throws(WatcherError) in try service.output.flush(to: service.socket) }
    }

    /// Nothing is sent for what was answered before, nor by a process that the handler forked.
    static func answering(
        _ request: UnsafeMutablePointer<RequestObject>, _ body: (Service) throws(WatcherError) -> Void
    ) -> PythonObject? {
        guard let service = WatcherState.service, !request.pointee.isAnswered, !WatcherState.isForkedChild else {
            return Python.none()
        }
        return attemptSending { () throws(WatcherError) in try body(service) }
    }

    /// That the gateway is gone is for whoever reads to find, where another may come.
    private static func attemptSending(_ body: () throws(WatcherError) -> Void) -> PythonObject? {
        attempt { () throws(WatcherError) in
            do throws(WatcherError) {
                try body()
            } catch .ended where WatcherState.returnSeconds > 0 {
            }
        }
    }
}
