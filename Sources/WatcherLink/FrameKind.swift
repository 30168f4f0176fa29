/// What a frame means. The numbers are part of the protocol: none is ever used again for another kind.
///
/// 16, 18 and 19 are reserved.
package enum FrameKind: UInt8, Sendable {
    /// Watcher to gateway, its first frame: its token or proof, and the protocol versions that it speaks.
    case hello = 1
    /// Gateway to watcher: the chosen version, the limits, and the function's settings.
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
    /// Watcher to gateway: the last piece has been sent; the head is a ``ReplyHead``.
    case end = 9
    /// Gateway to watcher: the watcher may send so many more bytes of pieces for a call.
    case credit = 10
    /// Gateway to watcher: the caller no longer waits for this call. From the watcher: the handler no longer waits for
    /// the CallOut with this id.
    case cancel = 11
    /// Gateway to watcher: give back every call that has not begun.
    case recall = 12
    /// Watcher to gateway, after a Recall: the calls that it gives back and will not run.
    case returned = 13
    /// Watcher to gateway: a handler calls another function.
    case callOut = 14
    /// Gateway to watcher: the answer to a CallOut.
    case callReply = 15
    /// Gateway to watcher: finish every call that has been received, then end.
    case drain = 17
    /// Gateway to watcher: the next calls, as many as the head says, are one batch.
    case batch = 20
    /// Gateway to watcher, the first frame on a link over TCP: the nonce with which the watcher proves its token.
    case challenge = 21
    /// Watcher to gateway: the watcher takes no more calls, and ends when the calls that it has are done. Optional.
    case leaving = 22
    /// Gateway to watcher: end at once, even if the watcher serves other gateways too. Optional.
    case stop = 23
    /// Gateway to watcher on another machine: print the stacks of all threads to the log. Optional.
    case stacks = 24
    /// Watcher to gateway: how long the handler takes for a call at present. Optional.
    case pace = 25
}
