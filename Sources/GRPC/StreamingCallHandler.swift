/// What a ``StreamingCall`` tells the one who serves it. Called on threads of the completion queue, maybe two at a time:
/// none may block.
package protocol StreamingCallHandler: AnyObject, Sendable {
    /// The call may be used from now on; nothing else is told before.
    func begin()

    /// What `receive` asked for.
    ///
    /// - Parameter message: nil when the client has sent all it had, or has left.
    func received(_ message: consuming ByteBuffer?)

    /// The core has taken the message that `send` gave it.
    ///
    /// - Parameter success: false when the call has ended instead.
    func sent(success: Bool)

    /// The call has ended.
    ///
    /// - Parameter cancelled: the client has left, or the server was told to cancel its calls.
    func closed(cancelled: Bool)
}
