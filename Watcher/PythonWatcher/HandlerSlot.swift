import CPython

/// What a thread that runs the handler works on. Used under the GIL only.
struct HandlerSlot {
    /// The request that the thread works on; nil between calls, and while it works on a batch of several.
    var current: UnsafeMutablePointer<RequestObject>?
    /// The list of requests that the thread works on, for a function with batches; borrowed.
    var batch: PythonObject?
    /// Whether the handler's own code runs, so that an exception may be raised in it.
    var isInHandler = false
    /// Whether `dcf.Cancelled` was raised for the current request.
    var isRaised = false
    /// Python's identifier of the thread.
    var thread: UInt = 0
    /// Whether this is the main thread. In any other thread, an exception that was not raised in time must be taken
    /// back.
    var isMain = true

    /// Called when the handler's code has returned: takes back an exception that was not raised yet.
    mutating func leave() {
        isInHandler = false
        if isRaised && !isMain { PyThreadState_SetAsyncExc(thread, nil) }
    }
}
