/// What a frame says. Numbers are the protocol: they are never used again for something else.
///
/// 16, 18 and 19 are reserved.
package enum FrameKind: UInt8, Sendable {
    /// Watcher to gateway, first: who it is and which protocol versions it speaks.
    case hello = 1
    /// Gateway to watcher: the version chosen, limits, and the function's settings.
    case welcome = 2
    /// Watcher to gateway: the handler is constructed, calls may come.
    case ready = 3
    /// Watcher to gateway: the handler could not be constructed; the watcher ends.
    case failed = 4
    /// Gateway to watcher: call the handler.
    case call = 5
    /// Watcher to gateway: what the handler returned.
    case reply = 6
    /// Watcher to gateway: the call ended without a reply.
    case error = 7
    /// Watcher to gateway: one piece of a reply that streams. Only for a call with the flag `stream`.
    case piece = 8
    /// Watcher to gateway: the last piece was sent; the head is a ``ReplyHead``.
    case end = 9
    /// Gateway to watcher: so many more bytes of pieces may be sent for a call.
    case credit = 10
    /// Nobody waits for this call any more. From the watcher: the CallOut with this id.
    case cancel = 11
    /// Gateway to watcher: give back every call that has not begun.
    case recall = 12
    /// Watcher to gateway, after a Recall: the calls given back. They will not be run.
    case returned = 13
    /// Watcher to gateway: a handler calls another function.
    case callOut = 14
    /// Gateway to watcher: the answer to a CallOut.
    case callReply = 15
    /// Gateway to watcher: finish every call received, then end.
    case drain = 17
    /// Gateway to watcher: the next calls, so many as it says, are one batch.
    case batch = 20
    /// Gateway to watcher, first, on a link over TCP: what the watcher has to prove its token with.
    case challenge = 21
    /// Watcher to gateway: it takes no more calls, and ends when those that it has are done. Optional.
    case leaving = 22
    /// Gateway to watcher: end at once, be the link shared with other gateways or not. Optional.
    case stop = 23
    /// Gateway to watcher on another machine: print where the threads are to the log. Optional.
    case stacks = 24
}
