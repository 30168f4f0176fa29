/// Takes the answer to one call: `reply`, or any number of `piece` and then `end`, or `fail`, which may also come after
/// pieces. They come one after another, from any thread, and must not block.
///
/// A front makes a responder for each call.
package protocol InvocationResponder: AnyObject, Sendable {
    /// Takes room for a reply or a piece of this many bytes, which follows at once on the same thread.
    ///
    /// - Returns: why there is no room. The call then ends with this failure, and the reply or the piece is dropped.
    func takeRoom(for bytes: Int) -> CallFailure?

    /// The handler's whole reply.
    func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata)

    /// A piece of a reply that streams. Only for a call that wants pieces, which may get a whole reply all the same.
    ///
    /// - Parameter source: must be told when the piece has been sent on, so that the handler may send more.
    func piece(_ output: consuming InvocationOutput, from source: any PieceSource)

    /// The last piece has come.
    func end(_ metadata: ReplyMetadata)

    /// The call has no reply, or no further pieces.
    func fail(_ failure: CallFailure)

    /// Asks the front to call `body` if the caller leaves before the answer. It is asked at most once, and only for a
    /// call that takes long. A front that always learns that its caller has left calls `CallHandle.cancel` and does
    /// nothing here.
    func watchClose(_ body: @escaping @Sendable () -> Void)
}

extension InvocationResponder {
    /// For fronts that do not bound the replies that their callers have not read.
    package func takeRoom(for bytes: Int) -> CallFailure? { nil }

    /// For fronts that never want pieces: then neither `piece` nor `end` is called. A responder with a `piece` of its
    /// own needs an `end` of its own, too: the default answers with an empty reply.
    package func piece(_ output: consuming InvocationOutput, from source: any PieceSource) {}

    package func end(_ metadata: ReplyMetadata) {
        reply(.empty, metadata)
    }

    package func watchClose(_ body: @escaping @Sendable () -> Void) {}
}

/// The handler's side of a reply that comes in pieces.
package protocol PieceSource: AnyObject, Sendable {
    /// `bytes` of pieces have been sent on to the caller: the handler may send as many more. It may be called from any
    /// thread, and is harmless after the call's end.
    func taken(_ bytes: Int)

    /// The caller does not want the rest of the reply. It may be called from any thread, and is harmless after the
    /// call's end.
    func cancel()
}
