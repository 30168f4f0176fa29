internal import GRPC

/// The calls that a replica has, seen from its route. Guarded by the route's lock.
final class ReplicaSlots: @unchecked Sendable {
    // @unchecked: touched with the route's lock held, but for the constants.

    private struct Entry {
        let id: UInt64
        let invocation: Invocation
        /// When the handler got it; `never` of one that was sent ahead and was not seen to have begun.
        var begun: MonotonicTime
    }

    /// Places at the start; doubled when they do not suffice.
    private static let firstCount = 16

    let link: ReplicaLink
    /// How it gets calls together; nil when it gets each alone.
    let batch: BatchPolicy?
    /// Calls that it may have without any of them waiting for another.
    let capacity: Int
    /// How long it may be at a call before it is stuck, in nanoseconds: the function's `timeout.call`.
    let callTimeout: Int64
    /// Called with every look at it once it is stuck, on the sweeper's thread.
    let onOverrun: @Sendable (ReplicaOverrun) -> Void

    private(set) var window: ReplicaWindow
    /// Whether it gets new calls.
    var isOpen = true
    /// Whether it has been at a call for well longer than it may.
    var isStuck = false
    /// Whether what was sent ahead was asked for and has not come yet.
    var isRecalling = false
    /// Called once when it is closed and has no call left.
    var onIdle: (@Sendable () -> Void)?
    /// Whether it has answered a call since it became Ready, also with the handler's exception.
    private(set) var hasAnswered = false
    private(set) var inFlight = 0
    /// When its last call was answered.
    private(set) var freeSince = MonotonicTime(nanoseconds: .min)
    /// The most calls it had at a time since it last had none, and the same of the time before.
    private var peak = 0
    private var lastPeak = 0
    private var entries: [Entry?] = []
    private var free: [UInt16] = []
    private var sequence: UInt64 = 0

    init(link: ReplicaLink, settings: RouteSettings, onOverrun: @escaping @Sendable (ReplicaOverrun) -> Void) {
        self.link = link
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

    /// Writes calls that got places to its link; more than one, where it gets them together, are one batch.
    func send(_ calls: [SentCall], at now: MonotonicTime) {
        link.send(calls, asBatch: batch != nil && calls.count > 1, at: now)
    }

    /// How many more calls it may get. With batches: as many as fit in one if it has none, else none.
    func room(at now: MonotonicTime) -> Int {
        guard isOpen else { return 0 }
        if let batch { return inFlight == 0 ? batch.sizeMax : 0 }
        return window.size(at: now) - inFlight
    }

    /// Whether it has less to do than `other`, for what each can.
    func isLessLoaded(than other: ReplicaSlots) -> Bool {
        inFlight * other.capacity < other.inFlight * capacity
    }

    /// Gives a place to a call.
    ///
    /// - Returns: the call's id on the link: a running number above the slot's, so a late answer never meets another
    ///   call.
    func occupy(_ invocation: Invocation, at now: MonotonicTime) -> UInt64 {
        if free.isEmpty { grow(to: 2 * entries.count) }
        let slot = free.removeLast()
        window.sent(inFlight: inFlight, at: now)
        inFlight += 1
        peak = max(peak, inFlight)
        sequence += 1
        let id = sequence << 16 | UInt64(slot)
        entries[Int(slot)] = Entry(id: id, invocation: invocation, begun: inFlight <= capacity ? now : .never)
        invocation.place = .sent(self, id: id)
        return id
    }

    /// Frees the place of an answered call; nil when no call has this id. `answered` follows, once for several of them.
    func vacate(_ id: UInt64) -> Invocation? {
        let slot = Int(id & 0xFFFF)
        guard slot < entries.count, let entry = entries[slot], entry.id == id else { return nil }
        entries[slot] = nil
        free.append(UInt16(slot))
        inFlight -= 1
        entry.invocation.place = .nowhere
        return entry.invocation
    }

    /// Calls were answered.
    ///
    /// - Parameter inFlight: what it had before.
    func answered(_ count: Int, of inFlight: Int, at now: MonotonicTime) {
        guard count > 0 else { return }
        hasAnswered = true
        window.answered(count, of: inFlight, at: now)
        guard self.inFlight == 0 else { return }
        freeSince = now
        lastPeak = peak
        peak = 0
    }

    /// Whether the callers of the batch that it had are likely to come again.
    func expectsMore(at now: MonotonicTime) -> Bool {
        batch?.expectsMore(afterBatchOf: lastPeak, answered: freeSince, at: now) ?? false
    }

    /// Whether to ask for what was sent ahead of calls that turn out to be slow, now.
    func recall(at now: MonotonicTime) -> Bool {
        guard batch == nil, !isRecalling else { return false }
        isRecalling = window.recall(inFlight: inFlight, at: now)
        return isRecalling
    }

    /// The call with this id, which keeps its place; nil when there is none.
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

    /// Calls with a later id have not begun: the watcher begins them in their order.
    private var lastAtWork: UInt64 {
        guard inFlight > capacity else { return .max }
        var ids: [UInt64] = []
        forEachCall { id, _, _ in ids.append(id) }
        return ids.sorted()[capacity - 1]
    }

    /// Takes every call away: the replica is gone.
    func vacateAll() -> [Invocation] {
        var invocations: [Invocation] = []
        forEachCall { id, _, _ in
            if let invocation = vacate(id) { invocations.append(invocation) }
        }
        return invocations
    }

    /// Calls `body` with each call that it has, in no order, and with when the handler got it: `never` where it has not begun.
    func forEachCall(_ body: (_ id: UInt64, Invocation, _ begun: MonotonicTime) -> Void) {
        for case let entry? in entries { body(entry.id, entry.invocation, entry.begun) }
    }
}
