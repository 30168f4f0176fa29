internal import WatcherLink

/// Gateways that serve the same functions: what each of them knows, and nobody else.
///
/// Whoever knows the secret can prove any token of the group's functions, so a gateway serves what another one deployed without
/// a word between the two.
package struct SwarmGroup: Sendable {
    /// The shortest secret, in bytes.
    package static let secretBytesMin = 16

    /// Names the group without telling its secret.
    let id: String
    private let secret: [UInt8]

    /// - Parameter secret: nil is returned for one that is too short.
    package init?(secret: [UInt8]) {
        guard secret.count >= Self.secretBytesMin else { return nil }
        self.secret = secret
        id = String(Self.hexadecimal(HMAC.code(key: secret, Array("dcf-group-1".utf8))).prefix(32))
    }

    /// Of all tasks of one service.
    ///
    /// - Parameter nonce: chosen by who made the service.
    func token(of function: String, version: Int, nonce: String) -> LinkToken {
        let message = Array("dcf-group-token-1 \(function)@\(version) \(nonce)".utf8)
        return LinkToken(text: String(Self.hexadecimal(HMAC.code(key: secret, message)).prefix(32)))
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
