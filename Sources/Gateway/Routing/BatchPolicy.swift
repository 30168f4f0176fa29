package import FunctionConfig
package import GRPC

/// When waiting calls become a batch, and how large it is. A pure value; times and numbers are given to it.
///
/// A batch is formed when a replica is free, of what waits then. Only below the largest size may the oldest call wait for
/// others, and it never waits in a function that had nothing to do when it came.
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
    /// How long the oldest call may wait for others.
    package let waitMax: Duration

    package init(_ config: BatchConfig) {
        sizeMax = config.sizeMax
        waitMax = config.waitMax
    }

    /// Whether a call may wait although a replica is free.
    package var mayWait: Bool { sizeMax > 1 && waitMax > .zero }

    /// - Parameters:
    ///   - waiting: calls that wait, at least one.
    ///   - oldest: when the first of them came.
    ///   - freeReplicas: replicas that have nothing to do, at least one.
    package func decide(
        waiting: Int, oldest: MonotonicTime, freeReplicas: Int, at now: MonotonicTime
    ) -> Decision {
        guard mayWait else {
            // Those that are free share the work: smaller batches take less time each.
            return .send(min((waiting + freeReplicas - 1) / max(freeReplicas, 1), sizeMax))
        }
        if waiting >= sizeMax { return .send(sizeMax) }
        let due = oldest.advanced(by: waitMax)
        return due <= now ? .send(waiting) : .wait(until: due)
    }
}
