/// How the two ends of a link over TCP show that they know its token, which is never sent: each codes 32 bytes that the
/// other chose at random for this one connection.
package enum LinkProof {
    /// Bytes of what an end chooses.
    package static let nonceBytes = 32
    /// Bytes of a proof.
    package static let bytes = SHA256.digestBytes
    /// The longest name of a task, in bytes of UTF-8.
    package static let taskBytesMax = 128

    package static func nonce() -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<nonceBytes).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }

    /// What the watcher says in Hello.
    ///
    /// - Parameter nonce: the gateway's, of Challenge.
    package static func ofWatcher(token: String, nonce: [UInt8], task: String) -> [UInt8] {
        HMAC.code(key: Array(token.utf8), Array("dcf-link-1".utf8) + nonce + Array(task.utf8))
    }

    /// What the gateway says in Welcome.
    ///
    /// - Parameter nonce: the watcher's, of Hello.
    package static func ofGateway(token: String, nonce: [UInt8]) -> [UInt8] {
        HMAC.code(key: Array(token.utf8), Array("dcf-gateway-1".utf8) + nonce)
    }
}
