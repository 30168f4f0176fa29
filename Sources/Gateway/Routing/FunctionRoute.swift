internal import GRPC
internal import Locks
internal import Synchronization
internal import WatcherLink

/// The way of a function's calls: the queue in which they wait, and the replicas that have room for them.
///
/// Calls wait here and not at a replica, so none waits behind a slow one while another replica is free. Admission and
/// completion each take the lock once, for a few hundred nanoseconds, and write to the replica's link on the caller's
/// own thread.
package final class FunctionRoute: Sendable {
    private struct Explanation {
        var body: (@Sendable () -> String?)?
    }

    package let name: String
    let context: RouteContext
    let state: Lock<RouteState>
    private let replicasMax = Atomic<Int>(0)
    private let explanation = Lock(Explanation())

    package init(name: String, settings: RouteSettings, context: RouteContext) {
        self.name = name
        self.context = context
        state = Lock(RouteState(settings: settings, queuedBytes: context.queuedBytes), .functionRoute)
    }

    /// What a new version of the function says. It holds for calls that come from now on.
    package func configure(_ settings: RouteSettings) {
        state.withLock { $0.settings = settings }
    }

    /// How many replicas there may be when the load asks for them.
    package func mayHave(replicas count: Int) {
        replicasMax.store(count, ordering: .relaxed)
    }

    /// How many calls can run at a time, with the replicas that are there or may come.
    package var capacityMax: Int {
        let (perReplica, now) = state.withLock { state in
            (state.settings.capacity, state.replicas.reduce(0) { $0 + ($1.isOpen ? $1.capacity : 0) })
        }
        return max(now, perReplica * replicasMax.load(ordering: .relaxed))
    }

    /// Has `body` called when calls wait and no replica gets any: once, until none waits or a replica attaches. Whoever is
    /// told must see whether one is being started already. Called from any thread, with no lock held; it must not block.
    package func onWaiting(_ body: @escaping @Sendable () -> Void) {
        perform { state, effects in
            state.onWaiting = body
            state.tellWaiting(&effects)
        }
    }

    /// Calls admitted since the last time this was asked.
    func takeInvocations() -> UInt64 {
        state.withLock { state in
            defer { state.invocations = 0 }
            return state.invocations
        }
    }

    /// Calls admitted since `takeInvocations`.
    var invocations: UInt64 { state.withLock { $0.invocations } }

    /// What it has to do at this moment.
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

    /// Sends the call to a replica that has room, or lets it wait, or refuses it. Never blocks.
    package func admit(_ invocation: Invocation) {
        enum Outcome {
            case send(ReplicaLink, UInt64)
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
            let replica = isFirst || state.settings.batch != nil ? state.leastLoaded(at: now) : nil
            if isFirst, let replica, replica.batch?.mayWait != true || state.isIdle(at: now) {
                state.note(admittedAt: now, &effects)
                return .send(replica.link, replica.occupy(invocation, at: now))
            }
            guard state.waiting < state.settings.queueBound else {
                return .refused(.queueFull(name, bound: state.settings.queueBound))
            }
            guard context.queuedBytes.take(invocation.input.count) else {
                return .refused(.queuedBytesFull(limit: context.queuedBytes.limit))
            }
            state.note(admittedAt: now, &effects)
            state.append(invocation)
            // Only for a batch does a call wait while a replica is free.
            if replica != nil { state.fillAll(&effects, at: now) }
            if isFirst { state.tellWaiting(&effects) }
            return .waits
        }
        switch outcome {
        case .send(let link, let id):
            link.send(invocation, id: id, at: now)
            if effects.isNewlyBusy { context.busy.add(self) }
        case .waits: perform(effects, at: now)
        case .refused(let failure): invocation.fail(failure)
        case .moved(let route): route.admit(invocation)
        }
    }

    /// Gives waiting calls to replicas that have room: the time that calls may wait for others is over.
    func dispatch(at now: MonotonicTime) {
        perform(at: now) { state, effects in state.fillAll(&effects, at: now) }
    }

    // MARK: What the supervisor says

    /// Calls are refused at once from now on, those that wait too, until a replica attaches or `reopen`.
    func fail(reason: String) {
        close(.failed(reason), failure: .functionFailed(name, reason: reason))
    }

    /// Has `body` asked why no replica is there, when the time of a call is up that waited for one; it is told to the caller.
    /// Called from any thread, with no lock held.
    func explain(_ body: @escaping @Sendable () -> String?) {
        explanation.withLock { $0.body = body }
    }

    /// Why no replica is there, as far as that is known.
    var whyNone: String? {
        let body = explanation.withLock { $0.body }
        return body?()
    }

    /// Calls are let in again, and are its own.
    package func reopen() {
        state.withLock { $0.mode = .open }
    }

    /// The version is no longer kept; `failure` is what its calls are told.
    func remove(_ failure: CallFailure) {
        close(.removed(failure), failure: failure)
    }

    private func close(_ mode: RouteState.Mode, failure: CallFailure) {
        let waiting = state.withLock { state in
            state.mode = mode
            return state.takeAll()
        }
        for invocation in waiting { invocation.fail(failure) }
    }

    // MARK: After the lock

    /// Runs `work` with the lock held, and then what it asks for.
    func perform(at now: MonotonicTime = .now, _ work: (inout RouteState, inout RouteState.Effects) -> Void) {
        var effects = RouteState.Effects()
        state.withLock { work(&$0, &effects) }
        perform(effects, at: now)
    }

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
