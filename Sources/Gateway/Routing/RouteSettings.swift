package import FunctionConfig

/// What a function's config says of how its calls are handled.
package struct RouteSettings: Sendable, Equatable {
    /// The longest a call may take, waiting included.
    package var callTimeout: Duration
    /// Calls that may wait.
    package var queueBound: Int
    /// Calls that one replica works on at a time.
    package var concurrency: Int
    /// How calls are put together into one; nil gives each to the handler alone.
    package var batch: BatchConfig?

    package init(callTimeout: Duration, queueBound: Int, concurrency: Int = 1, batch: BatchConfig? = nil) {
        self.callTimeout = callTimeout
        self.queueBound = queueBound
        self.concurrency = concurrency
        self.batch = batch
    }

    /// Calls that one replica may have without any of them waiting for another.
    package var capacity: Int { batch?.sizeMax ?? concurrency }
}
