/// How long things may take: `timeout` in the config. Nil leaves it to the gateway's limits.
package struct TimeoutConfig: Sendable, Equatable {
    /// Preparing the environment.
    package var build: Duration?
    /// From the start of a replica until its constructor has returned.
    package var start: Duration?
    /// One call, waiting in the queue included.
    package var call: Duration?
    /// Until a function without calls is stopped, with `replicas.min` 0.
    package var idle: Duration?

    /// The gateway's limits, unless it was started with others.
    package static let buildDefault = Duration.seconds(600)
    package static let startDefault = Duration.seconds(60)
    package static let callDefault = Duration.seconds(60)
    package static let idleDefault = Duration.seconds(300)

    package init() {}
}
