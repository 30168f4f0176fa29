/// What a frame says. Numbers are the protocol: they are never used again for something else.
///
/// 8 Piece, 9 End, 10 Credit (streams), 12 Recall, 13 Returned, 14 CallOut, 15 CallReply (chains), 16 Log, 18 Ping and
/// 19 Pong are reserved.
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
    /// Gateway to watcher: nobody waits for this call any more.
    case cancel = 11
    /// Gateway to watcher: finish every call received, then end.
    case drain = 17
}
