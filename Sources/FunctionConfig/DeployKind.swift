/// What a function runs as: `deploy` in the config.
package enum DeployKind: String, Sendable, CaseIterable {
    /// A process on the gateway's own machine.
    case process
    /// A container; not supported yet.
    case image
}
