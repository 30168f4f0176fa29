internal import DequeModule
internal import GRPC

/// What a ``FunctionRoute`` knows, behind its lock: the calls that wait, and the replicas that get them.
struct RouteState {
    /// What happens to calls that arrive.
    enum Mode {
        case open
        /// At once refused, with this reason.
        case failed(String)
        /// Handed to another route, but for calls that name this version: those are refused with this, or stay.
        case moved(FunctionRoute, named: CallFailure?)
        /// At once refused, with this.
        case removed(CallFailure)
    }

    /// What is left to do once the lock is free.
    struct Effects {
        var sends: [ReplicaCalls] = []
        /// Calls whose time was up before they got to a replica.
        var expired: [Invocation] = []
        var onWaiting: (@Sendable () -> Void)?
        var onIdle: (@Sendable () -> Void)?
        /// When to look at the batches again; nil when that is arranged.
        var batchDue: MonotonicTime?
        /// Whether the route has calls now, and had none.
        var isNewlyBusy = false
    }

    let queuedBytes: QueuedBytes
    var settings: RouteSettings {
        didSet { callTimeout = settings.callTimeout.nanosecondsClamped }
    }
    /// The same as that of the settings, in nanoseconds.
    private(set) var callTimeout: Int64
    var mode = Mode.open
    var replicas: [ReplicaSlots] = []
    /// Calls that wait, the oldest first. Those that are counted out already (their caller left, or their time was up) stay
    /// until they come to the front or are swept.
    private(set) var queue = Deque<Invocation>()
    /// Calls that wait and are not counted out.
    private(set) var waiting = 0
    /// Calls admitted since this was last taken.
    var invocations: UInt64 = 0
    var lastActive = MonotonicTime.now
    /// Whether the sweeper looks at the route.
    var isBusy = false
    /// Told when calls wait and no replica gets any.
    var onWaiting: (@Sendable () -> Void)?
    /// Whether that was told of the calls that wait now.
    private var isWaitingTold = false
    /// The replica that got a call last, and the one after which the search among equally busy ones begins.
    private var last = 0
    /// The last moment for which a look at the batches was arranged.
    private var batchDue = MonotonicTime(nanoseconds: .min)

    init(settings: RouteSettings, queuedBytes: QueuedBytes) {
        self.settings = settings
        callTimeout = settings.callTimeout.nanosecondsClamped
        self.queuedBytes = queuedBytes
    }

    var inFlight: Int { replicas.reduce(0) { $0 + $1.inFlight } }

    /// Whether a call that comes now need not wait for others to come.
    func isIdle(at now: MonotonicTime) -> Bool {
        replicas.allSatisfy { $0.inFlight == 0 && !$0.expectsMore(at: now) }
    }

    // MARK: The choice of a replica

    /// The replica with room that has the least to do for what it can. Of idle ones the one that got a call last, whose memory
    /// is still in the caches, else the first of them; of equally busy ones each in turn.
    mutating func leastLoaded(at now: MonotonicTime) -> ReplicaSlots? {
        let count = replicas.count
        if count == 1 { return replicas[0].room(at: now) > 0 ? replicas[0] : nil }
        if last < count, replicas[last].inFlight == 0, replicas[last].room(at: now) > 0 { return replicas[last] }
        var best: Int?
        for index in 0..<count {
            let replica = replicas[index]
            guard replica.room(at: now) > 0 else { continue }
            if replica.inFlight == 0 {
                best = index
                break
            }
            guard let current = best else {
                best = index
                continue
            }
            if replicas[current].isLessLoaded(than: replica) { continue }
            // Of equals the first one after the last.
            if replica.isLessLoaded(than: replicas[current]) || (current <= last && index > last) { best = index }
        }
        guard let best else { return nil }
        last = best
        return replicas[best]
    }

    // MARK: The queue

    /// Lets a call wait behind all others.
    mutating func append(_ invocation: Invocation) {
        if waiting == 0 { isWaitingTold = false }
        invocation.place = .queued
        queue.append(invocation)
        waiting += 1
    }

    /// Puts calls before all that wait: they have waited before, and no bound holds for them.
    mutating func prepend(_ invocations: [Invocation]) {
        if waiting == 0 { isWaitingTold = false }
        for invocation in invocations.reversed() {
            queuedBytes.takeAgain(invocation.input.count)
            invocation.place = .queued
            queue.prepend(invocation)
            waiting += 1
        }
    }

    /// Counts a waiting call out.
    mutating func takeOut(_ invocation: Invocation) {
        invocation.place = .nowhere
        waiting -= 1
        queuedBytes.give(back: invocation.input.count)
    }

    /// Takes waiting calls out, the oldest first: all, or those that `isTaken`.
    mutating func takeAll(where isTaken: (Invocation) -> Bool = { _ in true }) -> [Invocation] {
        let all = Array(queue.filter { $0.isQueued && isTaken($0) })
        for invocation in all { takeOut(invocation) }
        queue.removeAll { !$0.isQueued }
        return all
    }

    /// Forgets calls that are counted out, when there are many of them or no others.
    mutating func compact() {
        if waiting == 0 {
            queue.removeAll()
        } else if queue.count > 2 * waiting + 64 {
            queue.removeAll { !$0.isQueued }
        }
    }

    /// Takes the oldest call that somebody still waits for.
    private mutating func next(_ effects: inout Effects, at now: MonotonicTime) -> Invocation? {
        while waiting > 0, let invocation = queue.popFirst() {
            guard invocation.isQueued else { continue }
            takeOut(invocation)
            if invocation.isAnswered { continue }
            if invocation.deadline > now { return invocation }
            effects.expired.append(invocation)
        }
        return nil
    }

    // MARK: From the queue to the replicas

    /// Gives the replica of what waits as much as it has room for.
    mutating func fill(
        _ replica: ReplicaSlots, into calls: inout [SentCall], _ effects: inout Effects, at now: MonotonicTime
    ) {
        var room = replica.room(at: now)
        guard room > 0, waiting > 0 else { return }
        if let batch = replica.batch {
            guard let size = batchSize(batch, &effects, at: now) else { return }
            takeBatch(size, for: replica, into: &calls, &effects, at: now)
            return
        }
        while room > 0, let invocation = next(&effects, at: now) {
            calls.append(SentCall(invocation: invocation, id: replica.occupy(invocation, at: now)))
            room -= 1
        }
    }

    /// Gives what waits to all replicas that have room.
    mutating func fillAll(_ effects: inout Effects, at now: MonotonicTime) {
        while waiting > 0, let replica = leastLoaded(at: now) {
            var calls: [SentCall] = []
            if let batch = replica.batch {
                guard let size = batchSize(batch, &effects, at: now) else { return }
                takeBatch(size, for: replica, into: &calls, &effects, at: now)
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

    /// How large a batch is formed now; nil when calls wait for others.
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

    private mutating func takeBatch(
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

    // MARK: What is to be told

    /// A call was let in.
    mutating func note(admittedAt now: MonotonicTime, _ effects: inout Effects) {
        invocations += 1
        lastActive = now
        becameBusy(&effects)
    }

    /// A replica gets calls from now on.
    mutating func add(_ replica: ReplicaSlots) {
        replicas.append(replica)
        isWaitingTold = false
    }

    /// Notes that the route has calls.
    mutating func becameBusy(_ effects: inout Effects) {
        guard !isBusy else { return }
        isBusy = true
        effects.isNewlyBusy = true
    }

    /// If calls wait and no replica gets any, that is told once.
    mutating func tellWaiting(_ effects: inout Effects) {
        guard waiting > 0, !isWaitingTold, let onWaiting, !replicas.contains(where: \.isOpen) else { return }
        isWaitingTold = true
        effects.onWaiting = onWaiting
    }

    /// What to tell about a replica that is closed and has no call left, once.
    static func takeIdle(_ replica: ReplicaSlots) -> (@Sendable () -> Void)? {
        guard !replica.isOpen, replica.inFlight == 0 else { return nil }
        defer { replica.onIdle = nil }
        return replica.onIdle
    }
}

extension Invocation {
    /// Whether it waits in a queue. Under its route's lock.
    var isQueued: Bool {
        if case .queued = place { return true }
        return false
    }
}
