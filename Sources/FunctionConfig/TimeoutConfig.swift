/// How long things may take: `timeout` in the config.
package struct TimeoutConfig: Sendable, Equatable {
    /// Preparing the environment.
    package var build: Duration = .seconds(600)
    /// From the start of a replica until its constructor has returned.
    package var start: Duration = .seconds(60)
    /// One call, waiting in the queue included.
    package var call: Duration = .seconds(60)
    /// Until a replica without calls is stopped; not supported yet.
    package var idle: Duration?

    package init() {}
}
