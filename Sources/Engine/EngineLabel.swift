/// The labels of everything that DCF makes on a Docker engine: images, containers, services, secrets and networks.
package enum EngineLabel {
    /// The function's name.
    package static let function = "io.dcf.function"
    /// The number of the function's version.
    package static let version = "io.dcf.version"
    /// The number of the replica that a container carries.
    package static let replica = "io.dcf.replica"
    /// The name that the build gave the image: `name:tag`.
    package static let image = "io.dcf.image"
    /// The id of the gateway that owns the object. A gateway never touches an object without its own id.
    package static let gateway = "io.dcf.gateway"
    /// The gateway process that made the container.
    package static let run = "io.dcf.run"

    // MARK: What a service tells the other gateways of a group

    /// The id of the group.
    package static let group = "io.dcf.group"
    /// The random text from which the group's gateways derive the service's token.
    package static let nonce = "io.dcf.nonce"
    /// The version's record, as JSON.
    package static let record = "io.dcf.record"
    /// The version's share of the function's calls, as a weight.
    package static let traffic = "io.dcf.traffic"
    /// Where the owning gateway listens: `HOST:PORT`.
    package static let place = "io.dcf.place"
}
