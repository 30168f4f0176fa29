package import FunctionConfig
package import Platform

/// Decides when waiting calls form a batch, and how large the batch is. A pure value: the caller passes times and
/// numbers.
///
/// A batch is formed when a replica is free, from the calls that wait at that moment. A free replica may wait for more
/// calls only while the batch is below its largest size, and at most for the time in the config: batching adds no more
/// than that to any call. A single call that finds the function idle is sent at once. Right after a batch of several
/// calls the function does not count as idle: its callers are likely to call again, and the first of them would go
/// alone, with the others behind it.
package struct BatchPolicy: Sendable, Equatable {
    package enum Decision: Sendable, Equatable {
        /// Send a batch of this many calls.
        case send(Int)
        /// Send nothing before this moment, unless more calls come.
        case wait(until: MonotonicTime)
    }

    /// The most bytes that the inputs of one batch hold together. A single call may be larger.
    static let bytesMax = 256 << 20

    /// The most calls in a batch.
    package let sizeMax: Int
    /// How long a free replica may wait for more calls.
    package let waitMax: Duration

    package init(_ config: BatchConfig) {
        sizeMax = config.sizeMax
        waitMax = config.waitMax
    }

    /// Whether a call may wait although a replica is free.
    package var mayWait: Bool { sizeMax > 1 && waitMax > .zero }

    /// Whether the callers of a batch are likely to call again.
    ///
    /// - Parameters:
    ///   - size: the size of the batch.
    ///   - end: when the batch was answered.
    package func expectsMore(afterBatchOf size: Int, answered end: MonotonicTime, at now: MonotonicTime) -> Bool {
        mayWait && size > 1 && now < end.advanced(by: waitMax)
    }

    /// Decides for one free replica.
    ///
    /// - Parameters:
    ///   - waiting: how many calls wait; at least one.
    ///   - since: the moment from which calls wait while a replica is free.
    ///   - freeReplicas: how many replicas have nothing to do; at least one.
    package func decide(
        waiting: Int, since: MonotonicTime, freeReplicas: Int, at now: MonotonicTime
    ) -> Decision {
        guard mayWait else {
            // The free replicas share the work: smaller batches take less time each.
            return .send(min((waiting + freeReplicas - 1) / max(freeReplicas, 1), sizeMax))
        }
        if waiting >= sizeMax { return .send(sizeMax) }
        let due = since.advanced(by: waitMax)
        return due <= now ? .send(waiting) : .wait(until: due)
    }
}
