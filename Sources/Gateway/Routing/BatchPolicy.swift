package import FunctionConfig
package import GRPC

/// When waiting calls become a batch, and how large it is. A pure value; times and numbers are given to it.
///
/// A batch is formed when a replica is free, of what waits then. Only below the largest size may a free replica wait for
/// more, so long at most as the config says: no call takes longer than that beyond what it would take without. It never
/// waits for a single call that finds the function idle. Right after a batch of several it is not: their callers are
/// likely to come again, and a call that is the first of them would go alone, with the others behind it.
package struct BatchPolicy: Sendable, Equatable {
    package enum Decision: Sendable, Equatable {
        /// A batch of so many.
        case send(Int)
        /// Nothing before that moment, unless more calls come.
        case wait(until: MonotonicTime)
    }

    /// The inputs of one batch hold no more than this together, but for a single call.
    static let bytesMax = 256 << 20

    package let sizeMax: Int
    /// How long a free replica may wait for more calls.
    package let waitMax: Duration

    package init(_ config: BatchConfig) {
        sizeMax = config.sizeMax
        waitMax = config.waitMax
    }

    /// Whether a call may wait although a replica is free.
    package var mayWait: Bool { sizeMax > 1 && waitMax > .zero }

    /// Whether the callers of a batch are likely to come again.
    ///
    /// - Parameters:
    ///   - size: of the batch.
    ///   - end: when it was answered.
    package func expectsMore(afterBatchOf size: Int, answered end: MonotonicTime, at now: MonotonicTime) -> Bool {
        mayWait && size > 1 && now < end.advanced(by: waitMax)
    }

    /// - Parameters:
    ///   - waiting: calls that wait, at least one.
    ///   - since: since when calls wait and a replica is free.
    ///   - freeReplicas: replicas that have nothing to do, at least one.
    package func decide(
        waiting: Int, since: MonotonicTime, freeReplicas: Int, at now: MonotonicTime
    ) -> Decision {
        guard mayWait else {
            // Those that are free share the work: smaller batches take less time each.
            return .send(min((waiting + freeReplicas - 1) / max(freeReplicas, 1), sizeMax))
        }
        if waiting >= sizeMax { return .send(sizeMax) }
        let due = since.advanced(by: waitMax)
        return due <= now ? .send(waiting) : .wait(until: due)
    }
}
