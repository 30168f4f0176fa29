internal import DequeModule
internal import Platform
internal import Synchronization

/// The state of a ``FunctionRoute`` behind its lock: the calls that wait, and the replicas that take them.
struct RouteState {
    /// What happens to calls that arrive.
    enum Mode {
        case open
        /// Refused at once, with this reason.
        case failed(String)
        /// Handed to another route. Calls that name this version are refused with `named`, or stay where that is nil.
        case moved(FunctionRoute, named: CallFailure?)
        /// Refused at once, with this failure.
        case removed(CallFailure)
    }

    /// Calls for one replica.
    struct ReplicaCalls {
        let replica: ReplicaSlots
        var calls: [SentCall] = []
    }

    /// What is left to do once the lock is free.
    struct Effects {
        /// Calls to write to channels.
        var sends: [ReplicaCalls] = []
        /// Calls whose time ran out before a replica got them.
        var expired: [Invocation] = []
        var onWaiting: (@Sendable () -> Void)?
        var onIdle: (@Sendable () -> Void)?
        /// When to look at the batches again; nil when that is arranged already.
        var batchDue: MonotonicTime?
        /// Whether the route has calls now and had none before.
        var isNewlyBusy = false
    }

    let queuedBytes: QueuedBytes
    let settings: RouteSettings
    /// The settings' `callTimeout` in nanoseconds.
    let callTimeout: Int64
    var mode = Mode.open
    var replicas: [ReplicaSlots] = []
    /// The calls that wait, the oldest first. A call that does not count any more (its caller has left, or its time ran
    /// out) stays here until it comes to the front or is swept.
    private(set) var queue = Deque<Invocation>()
    /// How many calls of the queue count.
    private(set) var waiting = 0
    var lastActive = MonotonicTime.now
    /// Whether the sweeper looks at the route.
    var isBusy = false
    /// Called when calls wait and no replica takes any.
    var onWaiting: (@Sendable () -> Void)?
    /// Whether it was called for the calls that wait now.
    private var isWaitingReported = false
    /// Whether the handler of any replica is brief: see ``ReplicaWindow``.
    private var isBrief = false
    /// The index of the replica that got a call last. The search among equally busy replicas begins after it.
    private var last = 0
    /// The last moment for which a look at the batches was arranged.
    private var batchDue = MonotonicTime(nanoseconds: .min)

    init(settings: RouteSettings, queuedBytes: QueuedBytes) {
        self.settings = settings
        callTimeout = settings.callTimeout.nanosecondsClamped
        self.queuedBytes = queuedBytes
    }

    var inFlight: Int { replicas.reduce(0) { $0 + $1.inFlight } }

    /// Whether a call that comes now need not wait for more calls.
    func isIdle(at now: MonotonicTime) -> Bool {
        replicas.allSatisfy { $0.inFlight == 0 && !$0.expectsMore(at: now) }
    }

    // MARK: The choice of a replica

    /// The replica that the next call goes to; nil when none has room.
    ///
    /// It is the one that got a call last, as long as that is idle or worth joining: its memory is in the caches, and a
    /// replica that is awake need not be woken. Otherwise it is the first that is worth joining, then the first that is
    /// idle, then the one that has the least to do in proportion to what it can run at once. Equally busy replicas take
    /// turns.
    mutating func nextReplica(at now: MonotonicTime) -> ReplicaSlots? {
        let count = replicas.count
        if count == 1 { return replicas[0].room(at: now) > 0 ? replicas[0] : nil }
        if last < count {
            let replica = replicas[last]
            if replica.inFlight == 0 || replica.isWorthJoining, replica.room(at: now) > 0 { return replica }
        }
        var best: Int?
        for index in 0..<count {
            let replica = replicas[index]
            let isIdle = replica.inFlight == 0
            if let best, replicas[best].inFlight == 0, isIdle { continue }
            guard replica.room(at: now) > 0 else { continue }
            if replica.isWorthJoining || isIdle && !isBrief {
                best = index
                break
            }
            guard let current = best else {
                best = index
                continue
            }
            if replicas[current].isLessLoaded(than: replica) { continue }
            // Of equally busy replicas, the first after the one that got a call last.
            if replica.isLessLoaded(than: replicas[current]) || (current <= last && index > last) { best = index }
        }
        guard let best else { return nil }
        last = best
        return replicas[best]
    }

    /// Notes how long the handler of a replica takes for a call at present.
    mutating func note(pace nanoseconds: Int64, of replica: ReplicaSlots) {
        replica.note(pace: nanoseconds)
        isBrief = replicas.contains { $0.window.isBrief }
    }

    // MARK: The queue

    /// Queues a call behind all others.
    mutating func append(_ invocation: Invocation) {
        if waiting == 0 { isWaitingReported = false }
        invocation.position = .queued
        queue.append(invocation)
        waiting += 1
    }

    /// Queues calls before all others. They have waited before, and no bound applies to them.
    mutating func prepend(_ invocations: [Invocation]) {
        if waiting == 0 { isWaitingReported = false }
        for invocation in invocations.reversed() {
            queuedBytes.reserveBeyondLimit(invocation.input.count)
            invocation.position = .queued
            queue.prepend(invocation)
            waiting += 1
        }
    }

    /// Stops counting a waiting call: it does not wait any more.
    mutating func uncount(_ invocation: Invocation) {
        invocation.position = .nowhere
        waiting -= 1
        queuedBytes.release(invocation.input.count)
    }

    /// Removes waiting calls and returns them, the oldest first: all, or those for which `isRemoved` is true.
    mutating func removeAll(where isRemoved: (Invocation) -> Bool = { _ in true }) -> [Invocation] {
        let all = Array(queue.filter { $0.isQueued && isRemoved($0) })
        for invocation in all { uncount(invocation) }
        queue.removeAll { !$0.isQueued }
        return all
    }

    /// Frees the calls that do not count any more, when there are many of them or no others.
    mutating func compact() {
        if waiting == 0 {
            queue.removeAll()
        } else if queue.count > 2 * waiting + 64 {
            queue.removeAll { !$0.isQueued }
        }
    }

    /// Dequeues the oldest call whose caller still waits.
    private mutating func next(_ effects: inout Effects, at now: MonotonicTime) -> Invocation? {
        while waiting > 0, let invocation = queue.popFirst() {
            guard invocation.isQueued else { continue }
            uncount(invocation)
            if invocation.isAnswered { continue }
            if invocation.deadline > now { return invocation }
            effects.expired.append(invocation)
        }
        return nil
    }

    // MARK: From the queue to the replicas

    /// Gives the replica as many waiting calls as it has room for.
    mutating func fill(
        _ replica: ReplicaSlots, into calls: inout [SentCall], _ effects: inout Effects, at now: MonotonicTime
    ) {
        var room = replica.room(at: now)
        guard room > 0, waiting > 0 else { return }
        if let batch = replica.batch {
            guard let size = batchSize(batch, &effects, at: now) else { return }
            fillBatch(size, for: replica, into: &calls, &effects, at: now)
            return
        }
        while room > 0, let invocation = next(&effects, at: now) {
            calls.append(SentCall(invocation: invocation, id: replica.occupy(invocation, at: now)))
            room -= 1
        }
    }

    /// Gives waiting calls to all replicas that have room.
    mutating func fillAll(_ effects: inout Effects, at now: MonotonicTime) {
        while waiting > 0, let replica = nextReplica(at: now) {
            var calls: [SentCall] = []
            if let batch = replica.batch {
                guard let size = batchSize(batch, &effects, at: now) else { return }
                fillBatch(size, for: replica, into: &calls, &effects, at: now)
            } else if let invocation = next(&effects, at: now) {
                calls.append(SentCall(invocation: invocation, id: replica.occupy(invocation, at: now)))
            }
            if let index = effects.sends.firstIndex(where: { $0.replica === replica }) {
                effects.sends[index].calls += calls
            } else {
                effects.sends.append(ReplicaCalls(replica: replica, calls: calls))
            }
        }
    }

    /// How large a batch is formed now; nil when the calls wait for more.
    private mutating func batchSize(_ batch: BatchPolicy, _ effects: inout Effects, at now: MonotonicTime) -> Int? {
        while let first = queue.first, !first.isQueued { queue.removeFirst() }
        guard let first = queue.first else { return nil }
        let free = replicas.filter { $0.room(at: now) > 0 }
        let freeSince = free.map(\.freeSince).min() ?? now
        let since = max(first.arrived, freeSince)
        switch batch.decide(waiting: waiting, since: since, freeReplicas: free.count, at: now) {
        case .send(let size): return size
        case .wait(let due):
            if due != batchDue {
                batchDue = due
                effects.batchDue = due
            }
            return nil
        }
    }

    private mutating func fillBatch(
        _ size: Int, for replica: ReplicaSlots, into calls: inout [SentCall], _ effects: inout Effects,
        at now: MonotonicTime
    ) {
        var bytes = 0
        var left = size
        while left > 0, let first = queue.first {
            if first.isQueued, bytes > 0, bytes + first.input.count > BatchPolicy.bytesMax { return }
            guard let invocation = next(&effects, at: now) else { return }
            bytes += invocation.input.count
            left -= 1
            calls.append(SentCall(invocation: invocation, id: replica.occupy(invocation, at: now)))
        }
    }

    // MARK: Notes and reports

    /// Notes that a call was admitted.
    mutating func note(_ invocation: Invocation, admittedAt now: MonotonicTime, _ effects: inout Effects) {
        invocation.isAdmitted = true
        lastActive = now
        noteBusy(&effects)
    }

    /// Adds a replica, which takes calls from now on.
    mutating func add(_ replica: ReplicaSlots) {
        replicas.append(replica)
        isWaitingReported = false
    }

    /// Notes that the route has calls.
    mutating func noteBusy(_ effects: inout Effects) {
        guard !isBusy else { return }
        isBusy = true
        effects.isNewlyBusy = true
    }

    /// Has `onWaiting` called, once, if calls wait and no replica takes any.
    mutating func reportWaiting(_ effects: inout Effects) {
        guard waiting > 0, !isWaitingReported, let onWaiting, !replicas.contains(where: \.isOpen) else { return }
        isWaitingReported = true
        effects.onWaiting = onWaiting
    }

    /// The replica's `onIdle` where it is closed and has no call left. It is returned once.
    static func consumeOnIdle(of replica: ReplicaSlots) -> (@Sendable () -> Void)? {
        guard !replica.isOpen, replica.inFlight == 0 else { return nil }
        defer { replica.onIdle = nil }
        return replica.onIdle
    }
}

extension Invocation {
    /// Whether it waits in a queue. Read it under the lock of its route.
    var isQueued: Bool {
        if case .queued = position { return true }
        return false
    }
}

/// Counts the bytes that the inputs of all waiting calls of all functions hold, up to a limit. Any thread may use it.
package final class QueuedBytes: Sendable {
    package let limit: Int
    private let held = Atomic<Int>(0)

    package init(limit: Int) {
        self.limit = limit
    }

    /// How many bytes are held now.
    package var count: Int { held.load(ordering: .relaxed) }

    /// Reserves `bytes`. Returns false, and reserves nothing, when that would pass the limit.
    func reserve(_ bytes: Int) -> Bool {
        let before = held.add(bytes, ordering: .relaxed).oldValue
        guard before + bytes <= limit else {
            held.subtract(bytes, ordering: .relaxed)
            return false
        }
        return true
    }

    /// Reserves `bytes` even beyond the limit, for a call that was admitted before.
    func reserveBeyondLimit(_ bytes: Int) {
        held.add(bytes, ordering: .relaxed)
    }

    /// Ends a reservation.
    func release(_ bytes: Int) {
        held.subtract(bytes, ordering: .relaxed)
    }
}
