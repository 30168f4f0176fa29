package import Platform

/// A front takes calls over one protocol: it holds the server of that protocol.
///
/// The gateway starts its fronts once the deployed functions run, and drains them together. For each call a front makes
/// an ``InvocationContext`` and an ``InvocationResponder``, passes both to the ``Invoker``, and keeps the
/// ``CallHandle``.
package protocol Front: Sendable {
    /// Begins to take calls.
    func start()

    /// Serves what is not a call of a function, until the front has drained. Called once, after `start`; the task is
    /// cancelled when all calls have ended.
    func serve() async

    /// Accepts the connections that are being made, and no others.
    func finishAccepting()

    /// Closes the listener.
    func stopListening()

    /// Ends each stream of requests after its current request. The gate is closed before this.
    func beginDrain()

    /// Whether work is under way that the gate does not count.
    var isBusy: Bool { get }

    /// Tells each connection that it takes no more calls, and returns when all calls have ended.
    func drain() async

    /// Ends every call that is still under way. A `drain` that waits for them then returns.
    func cancelAllCalls()

    /// Stops the threads. Nothing may be under way.
    func stop()
}

/// Everything about a call except its input. Each front fills it in.
package struct InvocationContext: Sendable {
    /// The caller's headers, with the request's id and trace.
    package var metadata: RequestMetadata
    package var arrived: MonotonicTime
    /// When the caller stops waiting.
    package var deadline: MonotonicTime
    /// Set where the reply must be UTF-8: the advice in the error about a reply that is not.
    package var needsText: StaticString?
    /// Whether the reply may come in pieces. Otherwise the watcher joins them.
    package var wantsPieces: Bool
    /// The functions that wait for this call, outermost first: each waits for the next. Empty for a caller outside.
    package var path: [FunctionRoute]
    /// Whether a handler makes the call. The gate neither counts nor refuses such a call: handlers of accepted calls finish
    /// them while the gateway drains.
    package var isFromHandler: Bool

    package init(
        metadata: RequestMetadata, arrived: MonotonicTime = .now, deadline: MonotonicTime = .never,
        needsText: StaticString? = nil, wantsPieces: Bool = false, path: [FunctionRoute] = [],
        isFromHandler: Bool = false
    ) {
        self.metadata = metadata
        self.arrived = arrived
        self.deadline = deadline
        self.needsText = needsText
        self.wantsPieces = wantsPieces
        self.path = path
        self.isFromHandler = isFromHandler
    }

    package var requestID: String { metadata.requestID }
}

/// Takes the answer to one call: `reply`, or any number of `piece` and then `end`, or `fail`, which may also come after
/// pieces. They come one after another, from any thread, and must not block.
///
/// A front makes a responder for each call.
package protocol InvocationResponder: AnyObject, Sendable {
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

/// A call under way, as the front that began it holds it.
///
/// The handle keeps the call, and the call keeps its responder: a responder that keeps its handle clears it at the
/// call's end. Both methods may be called from any thread, and are harmless once the call has ended: they change no
/// answer.
package struct CallHandle: Sendable {
    let route: FunctionRoute
    let invocation: Invocation

    /// The caller has left: the call ends as cancelled, and its handler is told.
    package func cancel() {
        route.callerLeft(invocation)
    }

    /// Ends the call with `failure`. Its handler is not told.
    package func fail(_ failure: CallFailure) {
        invocation.fail(failure)
    }
}
