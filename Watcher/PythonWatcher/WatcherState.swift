import CPython

/// What code outside the loop must know of it: module functions, the request type, fork handlers, the guard.
///
/// There is one interpreter and one link in a process, so this is one set of globals. Everything but the two flags for
/// other threads is touched under the GIL only.
enum WatcherState {
    /// The link's socket, -1 before it is there and in a forked child.
    nonisolated(unsafe) static var descriptor: Int32 = -1
    /// The largest input or reply, in bytes.
    nonisolated(unsafe) static var maxBodyLength = 0
    /// The request that the handler works on.
    nonisolated(unsafe) static var currentRequest: UnsafeMutablePointer<RequestObject>?
    /// What `req.info` is.
    nonisolated(unsafe) static var info: PythonObject?
    /// The exception type for a broken link.
    nonisolated(unsafe) static var linkError: PythonObject?
    /// Whether a log stream holds a line without its end.
    nonisolated(unsafe) static var hasPartialLine = false
    /// Whether this process was forked by the handler: it must never speak on the link.
    nonisolated(unsafe) static var isForkedChild = false
    /// 1 from Drain on; read by the guard's thread, through `dcf_atomic_load`.
    nonisolated(unsafe) static var isDraining: Int32 = 0
}
