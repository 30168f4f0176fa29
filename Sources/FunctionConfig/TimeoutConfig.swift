/// How long things may take: `timeout` in the config. Nil leaves it to the gateway's limits.
package struct TimeoutConfig: Sendable, Equatable {
    /// Preparing the environment.
    package var build: Duration?
    /// From the start of a replica until its constructor has returned.
    package var start: Duration?
    /// One call, waiting in the queue included.
    package var call: Duration?
    /// Until a replica without calls is stopped; not supported yet.
    package var idle: Duration?

    /// The gateway's limits, unless it was started with others.
    package static let buildDefault = Duration.seconds(600)
    package static let startDefault = Duration.seconds(60)
    package static let callDefault = Duration.seconds(60)

    package init() {}
}
