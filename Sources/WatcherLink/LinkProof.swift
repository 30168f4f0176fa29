/// How the two ends of a link over TCP prove that they know its token without sending it: each codes a nonce, 32 random
/// bytes that the other end chose for this connection, with the token.
package enum LinkProof {
    /// The length of a nonce in bytes.
    package static let nonceBytes = 32
    /// The length of a proof in bytes.
    package static let bytes = SHA256.digestBytes
    /// The longest name of a task, in bytes of UTF-8.
    package static let taskBytesMax = 128

    package static func nonce() -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<nonceBytes).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }

    /// The watcher's proof, for Hello.
    ///
    /// - Parameter nonce: the gateway's nonce, from Challenge.
    package static func ofWatcher(token: String, nonce: [UInt8], task: String) -> [UInt8] {
        HMAC.code(key: Array(token.utf8), Array("dcf-link-1".utf8) + nonce + Array(task.utf8))
    }

    /// The gateway's proof, for Welcome.
    ///
    /// - Parameter nonce: the watcher's nonce, from Hello.
    package static func ofGateway(token: String, nonce: [UInt8]) -> [UInt8] {
        HMAC.code(key: Array(token.utf8), Array("dcf-gateway-1".utf8) + nonce)
    }
}
