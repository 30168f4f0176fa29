import CPython

/// What code outside the loop must know of it: module functions, the request type, fork handlers, the guard.
///
/// There is one interpreter and one link in a process, so this is one set of globals. Everything but the flags for
/// other threads is touched under the GIL only.
enum WatcherState {
    /// The link's socket, -1 before it is there and in a forked child.
    nonisolated(unsafe) static var descriptor: Int32 = -1
    /// The largest input or reply, in bytes.
    nonisolated(unsafe) static var maxBodyLength = 0
    /// What the threads that run the handler are at; one, unless the function runs several calls at once.
    nonisolated(unsafe) private(set) static var slots = makeSlots(1)
    nonisolated(unsafe) private(set) static var slotCount = 1
    /// What is served, once it is.
    nonisolated(unsafe) static var service: Service?
    /// Whether the gateway has been told that the handler is constructed.
    nonisolated(unsafe) static var isReady = false
    /// Whether a drain was asked for between that and `service`.
    nonisolated(unsafe) static var mustDrain = false
    /// Python's name for the interpreter's main thread, once something is served.
    nonisolated(unsafe) static var mainThread: UInt = 0
    /// What `req.info` is.
    nonisolated(unsafe) static var info: PythonObject?
    /// The exception type for a broken link.
    nonisolated(unsafe) static var linkError: PythonObject?
    /// Whether a log stream holds a line without its end.
    nonisolated(unsafe) static var hasPartialLine = false
    /// Whether this process was forked by the handler: it must never speak on the link.
    nonisolated(unsafe) static var isForkedChild = false
    /// How long the process may go on without a gateway, in seconds; 0 when it ends with the link. Set before anything is served.
    nonisolated(unsafe) static var returnSeconds: Int32 = 0
    /// Whether the link has ended and another is to be dialled. The main thread's.
    nonisolated(unsafe) static var isLost = false
    /// 1 from Drain on; read by the guard's thread, through `dcf_atomic_load`.
    nonisolated(unsafe) static var isDraining: Int32 = 0

    /// Makes room for so many threads, before any of them runs.
    static func makeRoom(for threads: Int) {
        slots = makeSlots(threads)
        slotCount = threads
    }

    private static func makeSlots(_ count: Int) -> UnsafeMutablePointer<HandlerSlot> {
        let slots = UnsafeMutablePointer<HandlerSlot>.allocate(capacity: count)
        slots.initialize(repeating: HandlerSlot(), count: count)
        return slots
    }
}
