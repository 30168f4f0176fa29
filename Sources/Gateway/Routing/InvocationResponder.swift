package import GRPC

/// Where the answer to an ``Invocation`` goes. One of `reply` and `fail` is called, once, from any thread; neither may
/// block.
package protocol InvocationResponder: AnyObject, Sendable {
    /// The handler's reply.
    ///
    /// - Parameter message: encoded as `Message` and `Messages` both are: field 1.
    func reply(_ message: consuming ByteBuffer, requestID: String)

    func fail(_ failure: CallFailure, requestID: String)

    /// Has `body` called when the caller leaves before the answer. Called at most once.
    func watchClose(_ body: @escaping @Sendable () -> Void)
}
