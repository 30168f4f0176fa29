package import FunctionConfig
package import Platform
internal import Synchronization

/// The route of one version's calls: the queue in which they wait, and the replicas that have room for them.
///
/// Calls wait here and not at a replica, so no call waits behind a slow one while another replica is free. Admission
/// and completion each take the lock once, for a few hundred nanoseconds, and write to the replica's channel on the
/// thread that called them. Any thread may use a route.
package final class FunctionRoute: Sendable {
    /// Holds the closure in a struct, as ``Lock`` asks for.
    private struct Explanation {
        var body: (@Sendable () -> String?)?
    }

    /// The function's name.
    package let name: String
    /// The function's version.
    package let version: Int
    let context: RouteContext
    let state: Lock<RouteState>
    private let replicasMax = Atomic<Int>(0)
    private let ended = Atomic<UInt64>(0)
    private let explanation = Lock(Explanation())

    package init(name: String, version: Int = 1, settings: RouteSettings, context: RouteContext) {
        self.name = name
        self.version = version
        self.context = context
        state = Lock(RouteState(settings: settings, queuedBytes: context.queuedBytes), .functionRoute)
    }

    /// Sets how many replicas there may be when the load needs them.
    package func setReplicasMax(_ count: Int) {
        replicasMax.store(count, ordering: .relaxed)
    }

    /// How many calls can run at a time with the replicas that exist or may be started.
    package var capacityMax: Int {
        let (perReplica, now) = state.withLock { state in
            (state.settings.capacity, state.replicas.reduce(0) { $0 + ($1.isOpen ? $1.capacity : 0) })
        }
        return max(now, perReplica * replicasMax.load(ordering: .relaxed))
    }

    /// Sets what is called when calls wait and no replica takes any. It is called once, and again only after the queue
    /// was empty or a replica attached; `body` must check whether a replica is being started already. It runs on any
    /// thread, with no lock held, and must not block.
    package func onWaiting(_ body: @escaping @Sendable () -> Void) {
        perform { state, effects in
            state.onWaiting = body
            state.reportWaiting(&effects)
        }
    }

    /// Counts a call that has ended: see ``CallCounter``.
    func countCall() {
        ended.add(1, ordering: .relaxed)
    }

    /// How many admitted calls have ended since this was last called.
    package func takeEndedCalls() -> UInt64 { ended.exchange(0, ordering: .relaxed) }

    /// How many admitted calls have ended since `takeEndedCalls`.
    package var endedCalls: UInt64 { ended.load(ordering: .relaxed) }

    /// The load at this moment.
    package var load: RouteLoad {
        state.withLock { state in
            let open = state.replicas.filter(\.isOpen)
            return RouteLoad(
                inFlight: state.inFlight, waiting: state.waiting, replicas: open.count,
                capacity: open.reduce(0) { $0 + $1.capacity }, lastActive: state.lastActive)
        }
    }

    /// Whether any call waits or is with a replica.
    package var isBusy: Bool {
        state.withLock { $0.waiting > 0 || $0.inFlight > 0 }
    }

    // MARK: A call's way in

    /// Sends the call to a replica that has room, or queues it, or refuses it. Never blocks.
    package func admit(_ invocation: Invocation) {
        enum Outcome {
            case send(any ReplicaChannel, UInt64)
            case waits
            case refused(CallFailure)
            case moved(FunctionRoute)
        }
        let now = invocation.arrived
        var effects = RouteState.Effects()
        let outcome = state.withLock { state -> Outcome in
            switch state.mode {
            case .open: break
            case .failed(let reason): return .refused(.functionFailed(name, reason: reason))
            case .moved(_, let failure) where invocation.namesVersion:
                if let failure { return .refused(failure) }
            case .moved(let route, _):
                invocation.movedTo.withLock { $0 = route }
                return .moved(route)
            case .removed(let failure): return .refused(failure)
            }
            invocation.limit(to: state.callTimeout)
            guard now < invocation.deadline else { return .refused(.deadlinePassed(executed: .no)) }
            let isFirst = state.waiting == 0
            let replica = isFirst || state.settings.batch != nil ? state.nextReplica(at: now) : nil
            if isFirst, let replica, replica.batch?.mayWait != true || state.isIdle(at: now) {
                state.note(invocation, admittedAt: now, &effects)
                return .send(replica.channel, replica.occupy(invocation, at: now))
            }
            guard state.waiting < state.settings.queueBound else {
                return .refused(.queueFull(name, bound: state.settings.queueBound))
            }
            guard context.queuedBytes.reserve(invocation.input.count) else {
                return .refused(.queuedBytesFull(limit: context.queuedBytes.limit))
            }
            state.note(invocation, admittedAt: now, &effects)
            state.append(invocation)
            // A call waits while a replica is free only where it may join a batch.
            if replica != nil { state.fillAll(&effects, at: now) }
            if isFirst { state.reportWaiting(&effects) }
            return .waits
        }
        switch outcome {
        case .send(let channel, let id):
            channel.send(invocation, id: id, at: now)
            if effects.isNewlyBusy { context.busy.add(self) }
        case .waits: perform(effects, at: now)
        case .refused(let failure): invocation.fail(failure)
        case .moved(let route): route.admit(invocation)
        }
    }

    /// Gives waiting calls to replicas that have room: the time to wait for a larger batch is over.
    func dispatch(at now: MonotonicTime) {
        perform(at: now) { state, effects in state.fillAll(&effects, at: now) }
    }

    // MARK: A call's way out

    /// The replica has answered calls: frees their places, and sends it waiting calls.
    ///
    /// - Parameters:
    ///   - answers: gets the call of each answer; nil for an id that has no call any more.
    ///   - replica: the replica that answered.
    ///   - sends: memory for the calls that are sent; empty before and after.
    package func answered(
        _ answers: inout [AnsweredCall], by replica: ReplicaSlots, sends: inout [SentCall], at now: MonotonicTime = .now
    ) {
        var effects = RouteState.Effects()
        state.withLock { state in
            let inFlight = replica.inFlight
            for index in answers.indices { answers[index].invocation = replica.vacate(answers[index].id) }
            replica.answered(inFlight - replica.inFlight, of: inFlight, at: now)
            state.lastActive = now
            if state.waiting > 0 { state.fill(replica, into: &sends, &effects, at: now) }
            effects.onIdle = RouteState.consumeOnIdle(of: replica)
        }
        if !sends.isEmpty {
            replica.send(sends, at: now)
            sends.removeAll(keepingCapacity: true)
        }
        perform(effects, at: now)
    }

    // MARK: Commands of the supervisor

    /// Refuses all calls from now on, waiting ones too, until a replica attaches or `reopen` is called.
    package func fail(reason: String) {
        close(.failed(reason), failure: .functionFailed(name, reason: reason))
    }

    /// Sets what explains why there is no replica. It is called when a call's time is up while no replica is there, and
    /// the caller gets its text. It runs on any thread, with no lock held.
    package func explain(_ body: @escaping @Sendable () -> String?) {
        explanation.withLock { $0.body = body }
    }

    /// Why there is no replica, where that is known.
    package var missingReplicaReason: String? {
        let body = explanation.withLock { $0.body }
        return body?()
    }

    /// Admits calls again, and hands them to no other route.
    package func reopen() {
        state.withLock { $0.mode = .open }
    }

    /// Removes the version: it is no longer kept. Its calls end with `failure`.
    package func remove(_ failure: CallFailure) {
        close(.removed(failure), failure: failure)
    }

    private func close(_ mode: RouteState.Mode, failure: CallFailure) {
        let waiting = state.withLock { state in
            state.mode = mode
            return state.removeAll()
        }
        for invocation in waiting { invocation.fail(failure) }
    }

    // MARK: After the lock

    /// Runs `work` with the lock held, and then its effects without the lock.
    func perform(at now: MonotonicTime = .now, _ work: (inout RouteState, inout RouteState.Effects) -> Void) {
        var effects = RouteState.Effects()
        state.withLock { work(&$0, &effects) }
        perform(effects, at: now)
    }

    /// Runs what was collected under the lock. The lock is free by now.
    func perform(_ effects: RouteState.Effects, at now: MonotonicTime) {
        assertNoLockIsHeld()
        if effects.isNewlyBusy { context.busy.add(self) }
        for send in effects.sends { send.replica.send(send.calls, at: now) }
        for invocation in effects.expired { invocation.fail(.deadlinePassed(executed: .no)) }
        if let due = effects.batchDue { context.busy.wake(self, at: due) }
        effects.onIdle?()
        effects.onWaiting?()
    }
}

/// How calls of a version are handled, by the function's config. A value.
package struct RouteSettings: Sendable, Equatable {
    /// The longest a call may take, waiting included.
    package var callTimeout: Duration
    /// The most calls that may wait.
    package var queueBound: Int
    /// How many calls one replica works on at a time.
    package var concurrency: Int
    /// How calls are put together into batches; with nil the handler gets each call alone.
    package var batch: BatchConfig?

    package init(callTimeout: Duration, queueBound: Int, concurrency: Int = 1, batch: BatchConfig? = nil) {
        self.callTimeout = callTimeout
        self.queueBound = queueBound
        self.concurrency = concurrency
        self.batch = batch
    }

    /// How many calls one replica may have without any of them waiting for another.
    package var capacity: Int { batch?.sizeMax ?? concurrency }
}

/// The load of a route at one moment. A value.
package struct RouteLoad: Sendable, Equatable {
    /// How many calls the replicas have.
    package var inFlight: Int
    /// How many calls wait for a replica.
    package var waiting: Int
    /// How many replicas take calls.
    package var replicas: Int
    /// How many calls these replicas can run at once.
    package var capacity: Int
    /// When a call was last admitted or answered.
    package var lastActive: MonotonicTime

    package var isIdle: Bool { inFlight == 0 && waiting == 0 }
}

/// What all routes share. A value that refers to shared, thread-safe objects.
package struct RouteContext: Sendable {
    /// Counts the inputs of all waiting calls.
    package let queuedBytes: QueuedBytes
    /// Gets each route that has calls.
    package let busy: BusyRoutes

    package init(queuedBytes: QueuedBytes, busy: BusyRoutes) {
        self.queuedBytes = queuedBytes
        self.busy = busy
    }
}
