import Glibc

/// A call of the handler's to another function, until its answer is fetched.
struct OutgoingCall {
    let id: UInt64
    /// Whether the event loop is told of the answer; else a thread waits for it.
    let isForLoop: Bool
    /// The answer, a CallReply; owned.
    var answer: UnsafeMutablePointer<CallRecord>?
}
