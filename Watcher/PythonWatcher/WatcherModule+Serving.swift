import CPython
import WatcherLink

/// Functions that serve calls, for handlers that are plain functions.
extension WatcherModule {
    /// `begin_serving((describe_exception, describe_reply, flush_partial_lines, close), cancelled, style, threads)`:
    /// prepares for serving. `style` says what a cancel does beside setting the flag: 0 nothing, 1 raises in the main
    /// thread, 2 raises in the thread that runs the call.
    static func beginServing(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let functions = PyTuple_GetItem(arguments, 0), let runtime = RuntimeCallbacks(functions),
            let cancelled = PyTuple_GetItem(arguments, 1), let style = PyTuple_GetItem(arguments, 2),
            let threads = PyTuple_GetItem(arguments, 3)
        else { return nil }
        let serving = Serving(socket: LinkSocket(descriptor: WatcherState.descriptor), runtime: runtime)
        Py_IncRef(cancelled)
        Cancellation.type = cancelled
        switch PyLong_AsLong(style) {
        case 1: serving.inbox.state.pointee.cancelStyle = .raiseInMain
        case 2: serving.inbox.state.pointee.cancelStyle = .raiseInThread
        default: break
        }
        let count = PyLong_AsLong(threads)
        guard PyErr_Occurred() == nil else { return nil }
        WatcherState.makeRoom(for: max(1, count))
        WatcherState.slots.pointee.thread = PyThread_get_thread_ident()
        WatcherState.mainThread = PyThread_get_thread_ident()
        WatcherState.serving = serving
        LinkGuard.attend(serving)
        if WatcherState.mustDrain { leave(serving) }
        return Python.none()
    }

    /// `serve(handler, in_batches)`: serves one call after another on this thread, the main one, until a drain is done.
    static func serve(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let serving = WatcherState.serving, let handler = PyTuple_GetItem(arguments, 0),
            let inBatches = PyTuple_GetItem(arguments, 1)
        else { return nil }
        return attemptServing { () throws(WatcherError) in
            var loop = CallLoop(serving: serving, handler: handler)
            try loop.run(inBatches: PyLong_AsLong(inBatches) != 0)
        }
    }

    /// `serve_threads()`: reads the link for the threads that are in `work`, until a drain is done.
    static func serveThreads() -> PythonObject? {
        guard let serving = WatcherState.serving else { return Python.none() }
        return attemptServing { () throws(WatcherError) in try ThreadedLoop(serving: serving).read() }
    }

    /// `work(handler, index)`: runs calls on this thread.
    static func work(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let serving = WatcherState.serving, let handler = PyTuple_GetItem(arguments, 0),
            let index = PyTuple_GetItem(arguments, 1)
        else { return nil }
        let number = PyLong_AsLong(index)
        guard PyErr_Occurred() == nil, (0..<WatcherState.slotCount).contains(number) else { return nil }
        return attemptServing { () throws(WatcherError) in
            try ThreadedLoop(serving: serving).work(handler, index: number)
        }
    }

    static func attemptServing(_ body: () throws(WatcherError) -> Void) -> PythonObject? {
        attempt { () throws(WatcherError) in
            do throws(WatcherError) {
                try body()
            } catch .ended {
                if WatcherState.isDraining != 0 { return }
                // The replica ends with the link; the guard gives it a moment for that.
                guard WatcherState.returnSeconds > 0 else { throw .ended }
                WatcherState.isLost = true
            }
        }
    }

    // MARK: - What the handler's threads work on

    /// `current_request(index) -> Request | None`: the request that a thread that runs the handler works on.
    static func currentRequest(_ index: PythonObject?) -> PythonObject? {
        guard let index else { return nil }
        let number = PyLong_AsLong(index)
        guard PyErr_Occurred() == nil, (0..<WatcherState.slotCount).contains(number),
            let request = WatcherState.slots[number].current
        else { return PyErr_Occurred() == nil ? Python.none() : nil }
        Py_IncRef(request.object)
        return request.object
    }

    /// `current_batch() -> list | None`: the requests that the handler works on as one batch.
    static func currentBatch() -> PythonObject? {
        guard let batch = WatcherState.slots.pointee.batch else { return Python.none() }
        Py_IncRef(batch)
        return batch
    }

    /// `focus(request or None)`: sets the one request of a batch that the handler works on now.
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

    /// `answer(request, reply)`: answers with what the handler returned.
    static func answer(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let request = RequestType.view(checking: PyTuple_GetItem(arguments, 0)),
            let reply = PyTuple_GetItem(arguments, 1)
        else { return nil }
        return answering(request) { (serving) throws(WatcherError) in
            _ = try serving.reply(to: request, with: reply, at: MonotonicClock.nowNanos())
        }
    }

    /// `fail(request, exception)`: answers with an exception that the handler raised.
    static func fail(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let request = RequestType.view(checking: PyTuple_GetItem(arguments, 0)),
            let exception = PyTuple_GetItem(arguments, 1)
        else { return nil }
        return answering(request) { (serving) throws(WatcherError) in
            let fault = serving.runtime.describe(exception)
            let head = ErrorHead(code: fault.code, executed: .yes, message: fault.message)
            try serving.fail(request, head, traceback: fault.traceback)
        }
    }

    /// `refuse(request, code, message)`: answers with a status, an int and a str. The caller is told that the handler
    /// ran.
    static func refuse(_ arguments: PythonObject?) -> PythonObject? {
        guard let arguments, let request = RequestType.view(checking: PyTuple_GetItem(arguments, 0)),
            let code = PyTuple_GetItem(arguments, 1), let message = Python.text(of: PyTuple_GetItem(arguments, 2))
        else { return nil }
        let number = UInt8(clamping: PyLong_AsLong(code))
        return answering(request) { (serving) throws(WatcherError) in
            try serving.fail(request, ErrorHead(code: number, executed: .yes, message: message))
        }
    }

    /// `flush()`: writes the finished answers.
    static func flush() -> PythonObject? {
        guard let serving = WatcherState.serving else { return Python.none() }
        return attemptSending { () throws(WatcherError) in try serving.output.flush(to: serving.socket) }
    }

    /// Calls `body` to answer a request. Does nothing if the request is answered, or in a process that the handler
    /// forked.
    static func answering(
        _ request: UnsafeMutablePointer<RequestObject>, _ body: (Serving) throws(WatcherError) -> Void
    ) -> PythonObject? {
        guard let serving = WatcherState.serving, !request.pointee.isAnswered, !WatcherState.isForkedChild else {
            return Python.none()
        }
        return attemptSending { () throws(WatcherError) in try body(serving) }
    }

    /// Ignores the end of the link if another gateway may come: the thread that reads the link notices it.
    private static func attemptSending(_ body: () throws(WatcherError) -> Void) -> PythonObject? {
        attempt { () throws(WatcherError) in
            do throws(WatcherError) {
                try body()
            } catch .ended where WatcherState.returnSeconds > 0 {
            }
        }
    }
}
