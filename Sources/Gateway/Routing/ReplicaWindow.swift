package import GRPC

/// How many calls a replica may have at a time: what it runs at once, and some sent ahead while its calls are short, so
/// that it need not wait for the gateway between two of them. A pure value; times are given to it.
///
/// Sent ahead is at most what the replica does in about a millisecond, so a call is never stuck for long behind
/// another while a second replica is free; nothing is sent ahead of a slow handler.
package struct ReplicaWindow: Sendable, Equatable {
    /// Work sent ahead, in nanoseconds.
    static let aheadNanos: Int64 = 1_000_000
    static let sizeMax = 64

    /// What the replica runs at once.
    private let concurrency: Int
    /// The average time of a call; nil before the first.
    private var serviceNanos: Int64?
    /// When the replica last made progress: a reply, or a call that it got while it had none.
    private var progress = MonotonicTime(nanoseconds: 0)

    package init(concurrency: Int = 1) {
        self.concurrency = concurrency
    }

    /// The replica got a call.
    package mutating func sent(inFlight: Int, at now: MonotonicTime) {
        if inFlight == 0 { progress = now }
    }

    /// The replica answered `count` calls that were sent before this moment.
    package mutating func answered(_ count: Int, at now: MonotonicTime) {
        let sample = max(now.nanoseconds(since: progress), 0) / Int64(max(count, 1))
        progress = now
        guard let average = serviceNanos else {
            serviceNanos = sample
            return
        }
        // Slower at once, faster with time.
        serviceNanos = sample > average ? (average + sample) / 2 : average + (sample - average) / 8
    }

    /// How many calls it may have at this moment.
    package func size(at now: MonotonicTime) -> Int {
        guard let serviceNanos else { return concurrency }
        // The call it is at has turned out to be a slow one.
        if now.nanoseconds(since: progress) > Self.aheadNanos { return concurrency }
        let ahead = Self.aheadNanos / max(serviceNanos, 1)
        return min(concurrency + Int(min(ahead, Int64(Self.sizeMax))), Self.sizeMax)
    }
}
