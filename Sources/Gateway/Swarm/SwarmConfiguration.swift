/// How a gateway runs its images as services of a Swarm.
package struct SwarmConfiguration: Sendable {
    package static let overlayDefault = "dcf"

    /// Where the tasks' watchers are listened for.
    package var address: HostAddress
    /// What the tasks dial: this gateway, and the others of its group. None is this node's address in the Swarm; port 0 is the
    /// one that is listened on.
    package var advertised: [HostAddress]
    /// The gateways that serve each other's functions; nil: this one is alone.
    package var group: SwarmGroup?
    /// The overlay network of the tasks, made where there is none.
    package var overlay: String
    /// Whether an overlay that is not encrypted is all right.
    package var allowsPlaintextOverlay: Bool
    /// Makes the client of the engine.
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

    /// Whether what listens at `host` is reached from this machine alone.
    var isLoopback: Bool { ["localhost", "::1"].contains(address.host) || address.host.hasPrefix("127.") }
}
