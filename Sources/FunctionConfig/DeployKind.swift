/// What a function runs as: `deploy` in the config.
package enum DeployKind: String, Sendable, CaseIterable, Codable {
    /// A process on the gateway's own machine.
    case process
    /// A container of an image.
    case image
}
