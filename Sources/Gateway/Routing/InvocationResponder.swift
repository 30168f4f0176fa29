/// Where the answer to an ``Invocation`` goes: `reply`, or any number of `piece` and then `end`, or `fail`, which may
/// also come after pieces. They come one after another, from any thread; none may block.
package protocol InvocationResponder: AnyObject, Sendable {
    /// The handler's whole reply.
    func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata, _ context: InvocationContext)

    /// A piece of a reply that streams, on the links' thread. Only for a call that wants pieces.
    ///
    /// - Parameter source: is to be told when the piece has gone on.
    func piece(_ output: consuming InvocationOutput, from source: ReplyStream)

    /// The last piece has come.
    func end(_ metadata: ReplyMetadata, _ context: InvocationContext)

    func fail(_ failure: CallFailure, _ context: InvocationContext)

    /// Has `body` called when the caller leaves before the answer. Called at most once.
    func watchClose(_ body: @escaping @Sendable () -> Void)
}

extension InvocationResponder {
    /// For those who do not want pieces: none comes.
    package func piece(_ output: consuming InvocationOutput, from source: ReplyStream) {}

    package func end(_ metadata: ReplyMetadata, _ context: InvocationContext) {
        reply(.empty, metadata, context)
    }
}
