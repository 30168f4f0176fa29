package import GRPC

/// How many calls a replica may have at a time: what it runs at once, and some sent ahead while its calls are short, so
/// that it need not wait for the gateway between two of them. A pure value; times are given to it.
///
/// Sent ahead is at most what the replica does in about a millisecond, so a call is never stuck for long behind
/// another while a second replica is free; nothing is sent ahead of a slow handler. What was sent ahead of one that turns
/// out to be slow is asked for again.
package struct ReplicaWindow: Sendable, Equatable {
    /// Work sent ahead, in nanoseconds.
    static let aheadNanos: Int64 = 1_000_000
    /// Calls sent ahead.
    static let aheadMax = 63
    /// Without an answer for so long, what was sent ahead is asked for again.
    static let recallNanos: Int64 = 2_000_000

    /// What the replica runs at once.
    package let concurrency: Int
    /// The average time that one call takes; nil before the first.
    private var serviceNanos: Int64?
    /// What may be sent ahead by that.
    private var ahead = 0
    /// The time spent on calls since the last answer: of each that runs, so two at once count twice.
    private var workNanos: Int64 = 0
    /// Up to when `workNanos` counts.
    private var counted = MonotonicTime(nanoseconds: 0)
    /// When the replica last answered, or got a call while it had none.
    private var progress = MonotonicTime(nanoseconds: 0)
    /// Whether what was sent ahead was asked for again since the last answer.
    package private(set) var isRecalled = false

    package init(concurrency: Int = 1) {
        self.concurrency = concurrency
    }

    /// The replica got a call.
    ///
    /// - Parameter inFlight: what it had before.
    package mutating func sent(inFlight: Int, at now: MonotonicTime) {
        count(inFlight, until: now)
        if inFlight == 0 { progress = now }
    }

    /// The replica answered `count` of the calls that it had; a stream's answer is its end.
    ///
    /// - Parameter inFlight: what it had before.
    package mutating func answered(_ count: Int, of inFlight: Int, at now: MonotonicTime) {
        guard count > 0 else { return }
        self.count(inFlight, until: now)
        let sample = workNanos / Int64(count)
        workNanos = 0
        progress = now
        isRecalled = false
        let average = serviceNanos ?? sample
        // Slower at once, faster with time.
        let service = sample > average ? (average + sample) / 2 : average + (sample - average) / 8
        serviceNanos = service
        let calls = service > Self.aheadNanos ? 0 : Int64(concurrency) * Self.aheadNanos / max(service, 1)
        ahead = min(Int(calls), Self.aheadMax)
    }

    private mutating func count(_ inFlight: Int, until now: MonotonicTime) {
        let nanos = now.nanoseconds(since: counted)
        // Threads that came a little earlier may be a little later here.
        guard nanos > 0 else { return }
        workNanos &+= nanos &* Int64(min(inFlight, concurrency))
        counted = now
    }

    /// How many calls it may have at this moment.
    package func size(at now: MonotonicTime) -> Int {
        // The calls that it is at may have turned out to be slow ones.
        guard ahead > 0, !isRecalled, now.nanoseconds(since: progress) <= Self.aheadNanos else { return concurrency }
        return concurrency + ahead
    }

    /// Whether to ask for what was sent ahead, which is done once until there is an answer.
    package mutating func recall(inFlight: Int, at now: MonotonicTime) -> Bool {
        guard inFlight > concurrency, !isRecalled, now.nanoseconds(since: progress) > Self.recallNanos else {
            return false
        }
        isRecalled = true
        return true
    }
}
