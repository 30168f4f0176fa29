import CPython

/// What a thread that runs the handler is at. Touched under the GIL only.
struct HandlerSlot {
    /// The request that it works on; nil between calls, and within a batch of several.
    var current: UnsafeMutablePointer<RequestObject>?
    /// The list that it works on, with batches; borrowed.
    var batch: PythonObject?
    /// Whether the handler's own code runs, where an exception may be raised in it.
    var isInHandler = false
    /// Whether `dcf.Cancelled` was raised for the current request.
    var isRaised = false
    /// Python's name for the thread.
    var thread: UInt = 0
    /// Whether an exception raised in another thread must be taken back after the call.
    var isMain = true

    /// The handler's code has returned: what was to be raised in it and was not never is.
    mutating func leave() {
        isInHandler = false
        if isRaised && !isMain { PyThreadState_SetAsyncExc(thread, nil) }
    }
}
