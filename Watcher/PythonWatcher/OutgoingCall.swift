import Glibc

/// A call that the handler has made to another function; it lives until the handler has its answer.
struct OutgoingCall {
    let id: UInt64
    /// Whether the event loop gets the answer; otherwise a thread waits for it.
    let isForLoop: Bool
    /// The answer, a CallReply; owned. Nil until it has come.
    var answer: UnsafeMutablePointer<CallRecord>?
}
