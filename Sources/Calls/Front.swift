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

    /// Closes the listener. It may be called again.
    func stopListening()

    /// Ends each stream of requests after its current request. The gate is closed before this.
    func endStreams()

    /// Whether work is under way that the gate does not count.
    var isBusy: Bool { get }

    /// Tells each connection that it takes no more calls, and returns when all calls have ended. It does so even when
    /// its task is cancelled, which happens after `cancelAllCalls`.
    func drain() async

    /// Ends every call that is still under way. A `drain` that waits for them then returns.
    func cancelAllCalls()

    /// Stops the threads. Nothing may be under way.
    func stop()
}
