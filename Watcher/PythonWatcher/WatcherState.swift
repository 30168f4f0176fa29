import CPython

/// The state that code outside the loop needs: module functions, the request type, fork handlers, the guard.
///
/// A process has one interpreter and one link, so these are globals. They are `nonisolated(unsafe)` because the GIL
/// guards them: they are used under the GIL only. The exceptions are the flags for other threads, and the values that
/// are set before another thread can read them; their comments say so.
enum WatcherState {
    /// The link's socket; -1 before there is one, and in a forked child.
    nonisolated(unsafe) static var descriptor: Int32 = -1
    /// The largest input or reply, in bytes. Set in the handshake, before other threads read calls.
    nonisolated(unsafe) static var maxBodyLength = 0
    /// What the threads that run the handler work on; one slot, unless the function runs several calls at once.
    nonisolated(unsafe) private(set) static var slots = makeSlots(1)
    nonisolated(unsafe) private(set) static var slotCount = 1
    /// The shared parts for serving; nil before serving begins.
    nonisolated(unsafe) static var serving: Serving?
    /// Whether Ready has been said.
    nonisolated(unsafe) static var isReady = false
    /// Whether a drain was asked for after Ready and before `serving` was set.
    nonisolated(unsafe) static var mustDrain = false
    /// Python's identifier of the main thread; 0 before serving begins.
    nonisolated(unsafe) static var mainThread: UInt = 0
    /// The object that `req.info` gives.
    nonisolated(unsafe) static var info: PythonObject?
    /// The exception type for a broken link.
    nonisolated(unsafe) static var linkError: PythonObject?
    /// Whether a log stream holds an unfinished line.
    nonisolated(unsafe) static var hasPartialLine = false
    /// Whether the handler forked this process: then it must send nothing on the link.
    nonisolated(unsafe) static var isForkedChild = false
    /// How long the process may go on without a gateway, in seconds; 0 if it ends with the link. Set before serving
    /// begins.
    nonisolated(unsafe) static var returnSeconds: Int32 = 0
    /// Whether the link has ended and the next gateway must be dialled.
    nonisolated(unsafe) static var isLost = false
    /// 1 from the beginning of a drain on; the guard's thread reads it through `dcf_atomic_load`.
    nonisolated(unsafe) static var isDraining: Int32 = 0

    /// Makes slots for so many threads, before any of them runs.
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
