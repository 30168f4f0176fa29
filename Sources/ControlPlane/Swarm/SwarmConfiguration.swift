internal import Link
package import Platform
internal import WatcherLink

/// How a gateway runs its images as services of a Swarm.
package struct SwarmConfiguration: Sendable {
    package static let overlayDefault = "dcf"

    /// The address on which the gateway listens for the tasks' watchers.
    package var address: HostAddress
    /// The addresses that the tasks dial: this gateway's, and those of the other gateways of its group. An empty list
    /// stands for this node's address in the Swarm. Port 0 stands for the port that the gateway listens on.
    package var advertised: [HostAddress]
    /// The group of gateways that serve each other's functions; nil when this gateway is in no group.
    package var group: SwarmGroup?
    /// The overlay network of the tasks. The gateway makes it when it does not exist.
    package var overlay: String
    /// Whether the overlay may be unencrypted.
    package var allowsPlaintextOverlay: Bool
    /// Makes the engine's client.
    package var makeEngine: SwarmEngineMaker

    package init(
        address: HostAddress, advertised: [HostAddress] = [], group: SwarmGroup? = nil,
        overlay: String = SwarmConfiguration.overlayDefault,
        allowsPlaintextOverlay: Bool = false, makeEngine: @escaping SwarmEngineMaker
    ) {
        self.address = address
        self.advertised = advertised
        self.group = group
        self.overlay = overlay
        self.allowsPlaintextOverlay = allowsPlaintextOverlay
        self.makeEngine = makeEngine
    }

    /// Whether only this machine can reach `address`.
    package var isLoopback: Bool { ["localhost", "::1"].contains(address.host) || address.host.hasPrefix("127.") }
}

/// A group of gateways that serve the same functions. Its gateways share a secret that nobody else knows.
///
/// A gateway with the secret can compute the token of every service of the group. So it serves functions that another
/// gateway has deployed, and the two need not talk to each other.
package struct SwarmGroup: Sendable {
    /// The shortest secret, in bytes.
    package static let secretBytesMin = 16

    /// Names the group without revealing its secret.
    let id: String
    private let secret: [UInt8]

    /// - Parameter secret: the initialiser returns nil when it is shorter than `secretBytesMin`.
    package init?(secret: [UInt8]) {
        guard secret.count >= Self.secretBytesMin else { return nil }
        self.secret = secret
        id = String(Self.hexadecimal(HMAC.code(key: secret, Array("dcf-group-1".utf8))).prefix(32))
    }

    /// The token that all tasks of one service show.
    ///
    /// - Parameter nonce: a random text that the gateway chose when it made the service.
    func token(of function: String, version: Int, nonce: String) -> LinkToken {
        let message = Array("dcf-group-token-1 \(function)@\(version) \(nonce)".utf8)
        return LinkToken(text: String(Self.hexadecimal(HMAC.code(key: secret, message)).prefix(32)))
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
