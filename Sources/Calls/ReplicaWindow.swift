package import Platform

/// Decides how many calls a replica may have at a time: the calls that it runs at once, and, while its calls are short,
/// some that are sent ahead, so that it need not wait for the gateway between two calls. A pure value: the caller
/// passes times.
///
/// At most the work of about a millisecond is sent ahead, so a call never waits long behind another while a second
/// replica is free. A slow handler gets nothing ahead. Calls that were sent ahead of a call that turns out to be slow
/// are recalled.
package struct ReplicaWindow: Sendable, Equatable {
    /// The most work that is sent ahead, in nanoseconds.
    static let aheadNanos: Int64 = 1_000_000
    /// The most calls that are sent ahead.
    static let aheadMax = 63
    /// After how many nanoseconds without an answer the calls sent ahead are recalled.
    static let recallNanos: Int64 = 2_000_000

    /// A handler that takes at most so long for a call is brief, in nanoseconds: to wake up another process would take
    /// longer.
    static let briefNanos: Int64 = 25_000
    /// The most work of a brief handler that a call waits for on purpose while another replica is idle, in nanoseconds.
    static let joinedNanos: Int64 = 500_000

    /// How many calls the replica runs at once.
    package let concurrency: Int
    /// How many calls a brief handler is done with in that time; 0 where the handler is not brief, or that is not known.
    private var joinMax = 0
    /// The average time that one call takes; nil before the first.
    private var serviceNanos: Int64?
    /// How many calls may be sent ahead by that average.
    private var ahead = 0
    /// The time spent on calls since the last answer, summed over the calls that run: two at once count twice.
    private var workNanos: Int64 = 0
    /// The moment up to which `workNanos` counts.
    private var counted = MonotonicTime(nanoseconds: 0)
    /// When the replica last answered a call, or got one while it had none.
    private var progress = MonotonicTime(nanoseconds: 0)
    /// Whether the calls sent ahead were recalled since the last answer.
    package private(set) var isRecalled = false

    package init(concurrency: Int = 1) {
        self.concurrency = concurrency
    }

    /// Notes that the replica got a call.
    ///
    /// - Parameter inFlight: how many calls the replica had before.
    package mutating func sent(inFlight: Int, at now: MonotonicTime) {
        count(inFlight, until: now)
        if inFlight == 0 { progress = now }
    }

    /// Notes that the replica answered `count` calls; a stream is answered by its end.
    ///
    /// - Parameter inFlight: how many calls the replica had before.
    package mutating func answered(_ count: Int, of inFlight: Int, at now: MonotonicTime) {
        guard count > 0 else { return }
        self.count(inFlight, until: now)
        let sample = workNanos / Int64(count)
        workNanos = 0
        progress = now
        isRecalled = false
        let average = serviceNanos ?? sample
        // A slower sample counts at once, a faster one with time.
        let service = sample > average ? (average + sample) / 2 : average + (sample - average) / 8
        serviceNanos = service
        let calls = service > Self.aheadNanos ? 0 : Int64(concurrency) * Self.aheadNanos / max(service, 1)
        ahead = min(Int(calls), Self.aheadMax)
    }

    /// Notes how long the handler takes for a call at present, by the watcher's own clock. What `answered` finds also
    /// has the time until the watcher wakes up.
    package mutating func note(pace nanoseconds: Int64) {
        joinMax =
            nanoseconds > Self.briefNanos ? 0 : Int(min(Self.joinedNanos / max(nanoseconds, 1), Int64(Self.aheadMax)))
    }

    /// Whether the handler is brief.
    package var isBrief: Bool { joinMax > 0 }

    /// Whether a call that comes now should join these calls although another replica is idle.
    package func isWorthJoining(inFlight: Int) -> Bool { inFlight < joinMax }

    private mutating func count(_ inFlight: Int, until now: MonotonicTime) {
        let nanos = now.nanoseconds(since: counted)
        // A thread that read the clock earlier may come here later.
        guard nanos > 0 else { return }
        workNanos &+= nanos &* Int64(min(inFlight, concurrency))
        counted = now
    }

    /// How many calls it may have at this moment.
    package func size(at now: MonotonicTime) -> Int {
        // The calls that it runs may have turned out to be slow.
        let ahead = max(ahead, joinMax)
        guard ahead > 0, !isRecalled, now.nanoseconds(since: progress) <= Self.aheadNanos else { return concurrency }
        return concurrency + ahead
    }

    /// Whether to recall the calls sent ahead. True at most once until the next answer.
    package mutating func recall(inFlight: Int, at now: MonotonicTime) -> Bool {
        guard inFlight > concurrency, !isRecalled, now.nanoseconds(since: progress) > Self.recallNanos else {
            return false
        }
        isRecalled = true
        return true
    }
}
