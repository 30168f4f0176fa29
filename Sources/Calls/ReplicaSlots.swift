package import Platform

/// The calls that one replica has, as its route sees them. Guarded by the route's lock.
package final class ReplicaSlots: @unchecked Sendable {
    // @unchecked: everything except the constants is used only with the route's lock held.

    private struct Entry {
        let id: UInt64
        let invocation: Invocation
        /// When the handler got the call; `never` while a call that was sent ahead is not known to have begun.
        var begun: MonotonicTime
    }

    /// How many places there are at first; doubled when they do not suffice.
    private static let firstCount = 16

    let channel: any ReplicaChannel
    /// How the handler gets calls in batches; nil when it gets each call alone.
    let batch: BatchPolicy?
    /// How many calls it may have without any of them waiting for another.
    let capacity: Int
    /// How long it may work on a call before it counts as stuck, in nanoseconds: the function's `timeout.call`.
    let callTimeout: Int64
    /// Called on the sweeper's thread at each look once the replica is stuck.
    package let onOverrun: @Sendable (ReplicaOverrun) -> Void

    // @exclusivity, here and below: the route's lock guards them, and Swift's check of each access costs each call.
    @exclusivity(unchecked) private(set) var window: ReplicaWindow
    /// Whether it takes new calls.
    var isOpen = true
    /// Whether it has worked on a call for well longer than it may.
    var isStuck = false
    /// Whether the calls that were sent ahead were recalled and have not come back yet.
    var isRecalling = false
    /// Called once, when the replica is closed and has no call left.
    var onIdle: (@Sendable () -> Void)?
    private var answeredAny = false
    /// How many calls it has.
    private(set) var inFlight = 0
    /// When its last call was answered.
    private(set) var freeSince = MonotonicTime(nanoseconds: .min)
    /// The most calls that it had at a time since it last had none.
    private var peak = 0
    /// The peak of the time before that.
    private var lastPeak = 0
    @exclusivity(unchecked) private var entries: [Entry?] = []
    /// The places of `entries` that hold no call.
    @exclusivity(unchecked) private var free: [UInt16] = []
    private var sequence: UInt64 = 0

    package init(
        channel: any ReplicaChannel, settings: RouteSettings, onOverrun: @escaping @Sendable (ReplicaOverrun) -> Void
    ) {
        self.channel = channel
        self.onOverrun = onOverrun
        batch = settings.batch.map(BatchPolicy.init)
        capacity = settings.capacity
        callTimeout = settings.callTimeout.nanosecondsClamped
        window = ReplicaWindow(concurrency: settings.concurrency)
        grow(to: Self.firstCount)
    }

    private func grow(to count: Int) {
        free += (entries.count..<count).reversed().map { UInt16($0) }
        entries += Array(repeating: nil, count: count - entries.count)
    }

    /// Whether it has answered a call since it became Ready. The handler's exception counts as an answer.
    package var hasAnswered: Bool { answeredAny }

    /// Sends calls that got places over its channel. Where the handler takes batches, several calls are one batch.
    func send(_ calls: [SentCall], at now: MonotonicTime) {
        channel.send(calls, asBatch: batch != nil && calls.count > 1, at: now)
    }

    /// How many more calls it may get. With batches: a whole batch while it has no call, otherwise none.
    func room(at now: MonotonicTime) -> Int {
        guard isOpen else { return 0 }
        if let batch { return inFlight == 0 ? batch.sizeMax : 0 }
        return window.size(at: now) - inFlight
    }

    /// Notes how long the handler takes for a call at present.
    func note(pace nanoseconds: Int64) {
        window.note(pace: nanoseconds)
    }

    /// Whether it is at work, and a further call is better with it than with an idle replica: its handler is done with
    /// all its calls about as soon as another process would have woken up. The caller checks the room.
    var isWorthJoining: Bool { inFlight > 0 && window.isWorthJoining(inFlight: inFlight) }

    /// Whether it has less to do than `other`, in proportion to what each can run at once.
    func isLessLoaded(than other: ReplicaSlots) -> Bool {
        inFlight * other.capacity < other.inFlight * capacity
    }

    /// Gives a place to a call.
    ///
    /// - Returns: the call's id on the link. A running number lies above the place's number in it, so a late answer
    ///   never reaches another call.
    func occupy(_ invocation: Invocation, at now: MonotonicTime) -> UInt64 {
        if free.isEmpty { grow(to: 2 * entries.count) }
        let slot = free.removeLast()
        window.sent(inFlight: inFlight, at: now)
        inFlight += 1
        peak = max(peak, inFlight)
        sequence += 1
        let id = sequence << 16 | UInt64(slot)
        entries[Int(slot)] = Entry(id: id, invocation: invocation, begun: inFlight <= capacity ? now : .never)
        invocation.position = .sent(self, id: id)
        invocation.sent(at: now)
        return id
    }

    /// Frees the place of an answered call; nil when no call has this id. `answered` follows, once for several calls.
    func vacate(_ id: UInt64) -> Invocation? {
        let slot = Int(id & 0xFFFF)
        guard slot < entries.count, let entry = entries[slot], entry.id == id else { return nil }
        entries[slot] = nil
        free.append(UInt16(slot))
        inFlight -= 1
        entry.invocation.position = .nowhere
        return entry.invocation
    }

    /// Notes that `count` calls were answered.
    ///
    /// - Parameter inFlight: how many calls the replica had before.
    func answered(_ count: Int, of inFlight: Int, at now: MonotonicTime) {
        guard count > 0 else { return }
        answeredAny = true
        window.answered(count, of: inFlight, at: now)
        guard self.inFlight == 0 else { return }
        freeSince = now
        lastPeak = peak
        peak = 0
    }

    /// Whether the callers of its last batch are likely to call again.
    func expectsMore(at now: MonotonicTime) -> Bool {
        batch?.expectsMore(afterBatchOf: lastPeak, answered: freeSince, at: now) ?? false
    }

    /// Whether to recall now the calls that were sent ahead, because the calls before them turn out to be slow.
    func recall(at now: MonotonicTime) -> Bool {
        guard batch == nil, !isRecalling else { return false }
        isRecalling = window.recall(inFlight: inFlight, at: now)
        return isRecalling
    }

    /// The call with this id; it keeps its place. Nil when there is none.
    func invocation(_ id: UInt64) -> Invocation? {
        let slot = Int(id & 0xFFFF)
        guard slot < entries.count, let entry = entries[slot], entry.id == id else { return nil }
        return entry.invocation
    }

    /// Notes which calls that were sent ahead have begun by now.
    func noteBegun(at now: MonotonicTime) {
        let last = lastAtWork
        for index in entries.indices {
            guard let entry = entries[index], entry.begun == .never, entry.id <= last else { continue }
            entries[index]?.begun = now
        }
    }

    /// The last id that can have begun: the watcher begins calls in their order.
    private var lastAtWork: UInt64 {
        guard inFlight > capacity else { return .max }
        var ids: [UInt64] = []
        forEachCall { id, _, _ in ids.append(id) }
        return ids.sorted()[capacity - 1]
    }

    /// Removes every call: the replica has ended.
    func vacateAll() -> [Invocation] {
        var invocations: [Invocation] = []
        forEachCall { id, _, _ in
            if let invocation = vacate(id) { invocations.append(invocation) }
        }
        return invocations
    }

    /// Calls `body` with each call that the replica has, in no order, and with the moment when the handler got it
    /// (`never` where it has not begun).
    func forEachCall(_ body: (_ id: UInt64, Invocation, _ begun: MonotonicTime) -> Void) {
        for case let entry? in entries { body(entry.id, entry.invocation, entry.begun) }
    }
}

/// The way to one replica: how a route sends it calls. In the gateway it is a link.
///
/// The answers come back through `FunctionRoute.answered` and `returned`, by the ids with which the calls were sent.
/// Any thread calls these methods; they must not block.
package protocol ReplicaChannel: AnyObject, Sendable {
    /// Sends one call.
    func send(_ invocation: Invocation, id: UInt64, at now: MonotonicTime)

    /// Sends several calls, in this order.
    ///
    /// - Parameter asBatch: whether the handler gets the calls as one list.
    func send(_ calls: [SentCall], asBatch: Bool, at now: MonotonicTime)

    /// Tells the replica that the caller of a call has left.
    func cancel(_ id: UInt64)

    /// Asks the replica to give back the calls that it has not begun.
    func recall()
}

/// A call that has a place at a replica and is to be sent to it.
package struct SentCall {
    package let invocation: Invocation
    /// The call's id at the replica.
    package let id: UInt64
}

/// The answer of a replica to one call, on its way to the call.
package struct AnsweredCall {
    /// The call's id at the replica.
    package let id: UInt64
    /// The call; nil before the route has looked it up, and where the id has no call any more.
    package internal(set) var invocation: Invocation?

    package init(id: UInt64) {
        self.id = id
    }
}

/// Reports a replica that has worked on a call for longer than its function's `timeout.call`: its handler counts as
/// stuck.
///
/// The replica takes no new calls any more. It is reported at each look until it has ended. A caller's own deadline, or
/// a caller that has left, says nothing about the handler: the caller gets its answer, and the call keeps its place
/// until the handler returns.
package struct ReplicaOverrun: Sendable {
    /// How long a handler that notices its deadline may take to end, in nanoseconds.
    package static let toleranceNanos: Int64 = 100_000_000

    package let replica: ReplicaSlots
    /// The id of the call that it has worked on for longest.
    package let id: UInt64
    /// How long it has worked on that call beyond `timeout.call`, in nanoseconds.
    package let nanoseconds: Int64
    /// How many other calls run on the replica while their callers still wait and their time is not up.
    package let liveCalls: Int
    /// Whether this is the first report of the replica.
    package let isNew: Bool

    /// Whether the replica's process must be killed: the time of grace is over, and no waiting caller would lose its
    /// call.
    package func mustEnd(grace: Duration) -> Bool {
        nanoseconds >= grace.nanosecondsClamped && liveCalls == 0
    }
}
