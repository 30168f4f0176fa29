import CLinux
import CPython
import Glibc

/// What a cancel does to a call that has begun, beside setting `req.cancelled`.
enum CancelStyle {
    /// Nothing.
    case flag
    /// Raises `dcf.Cancelled` in the interpreter's main thread, which runs the handler.
    case raiseInMain
    /// The main thread raises `dcf.Cancelled` in the handler's thread that runs the call.
    case raiseInThread
}

/// Raises `dcf.Cancelled` in a handler after its caller has gone away, for functions that ask for it.
///
/// Under the GIL, it checks that the thread still works on the cancelled call and is inside the handler. If the call
/// has ended meanwhile, nothing is raised.
enum Cancellation {
    /// The exception's type; owned. Set under the GIL.
    nonisolated(unsafe) static var type: PythonObject?

    /// Has the interpreter's main thread check for a cancel before its next instruction. Needs no GIL.
    static func raiseInMain() {
        // Python's queue holds 32 calls. If it is full, the handler still has req.cancelled.
        _ = Py_AddPendingCall({ _ in Cancellation.raiseNow() }, nil)
    }

    /// Runs on the main thread, between two instructions.
    private static func raiseNow() -> Int32 {
        let slot = WatcherState.slots
        guard slot.pointee.isInHandler, !slot.pointee.isRaised, let request = slot.pointee.current,
            request.isCancelled, let type
        else { return 0 }
        slot.pointee.isRaised = true
        PyErr_SetNone(type)
        return -1
    }

    /// Raises in each of the handler's threads that works on a cancelled call. Under the GIL.
    static func raiseInThreads() {
        guard let type else { return }
        for index in 0..<WatcherState.slotCount {
            let slot = WatcherState.slots + index
            guard slot.pointee.isInHandler, !slot.pointee.isRaised, let request = slot.pointee.current,
                request.isCancelled
            else { continue }
            slot.pointee.isRaised = true
            PyThreadState_SetAsyncExc(slot.pointee.thread, type)
        }
    }
}
