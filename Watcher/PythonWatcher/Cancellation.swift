import CLinux
import CPython
import Glibc

/// Raises `dcf.Cancelled` in a handler whose caller has gone away, for functions that ask for it.
///
/// It is decided under the GIL, against the call that the thread is at and only while it is inside the handler: what
/// comes too late comes never.
enum Cancellation {
    /// The exception's type; owned.
    nonisolated(unsafe) static var type: PythonObject?

    /// Has the interpreter's main thread look at its next instruction. Needs no GIL.
    static func raiseInMain() {
        // The queue holds 32; should it be full the handler still has req.cancelled.
        _ = Py_AddPendingCall({ _ in Cancellation.raiseNow() }, nil)
    }

    /// On the main thread, between two instructions.
    private static func raiseNow() -> Int32 {
        let slot = WatcherState.slots
        guard slot.pointee.isInHandler, !slot.pointee.isRaised, let request = slot.pointee.current,
            request.isCancelled, let type
        else { return 0 }
        slot.pointee.isRaised = true
        PyErr_SetNone(type)
        return -1
    }

    /// Raises in all threads of the handler's whose call is cancelled. Under the GIL.
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
