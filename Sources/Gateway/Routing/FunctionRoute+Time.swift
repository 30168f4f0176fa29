internal import DequeModule
internal import GRPC
internal import Locks
internal import WatcherLink

extension FunctionRoute {
    /// What a look at all calls found.
    struct Sweep {
        /// Replicas that are stuck.
        var overruns: [ReplicaOverrun] = []
        /// Whether there are still calls.
        var isBusy = true
        fileprivate var expired: [(invocation: Invocation, failure: CallFailure)] = []
        /// Calls whose time was up while no replica was there.
        fileprivate var unserved: [Invocation] = []
        fileprivate var unwatched: [Invocation] = []
        fileprivate var cancels: [(link: ReplicaLink, id: UInt64)] = []
        fileprivate var recalls: [ReplicaLink] = []
    }

    /// Ends calls whose time is up, begins to watch for the callers of those that take long, and asks for what was sent
    /// ahead to replicas that turned slow.
    ///
    /// - Parameter watchAfter: how old a call is when its caller is watched for, in nanoseconds.
    func sweep(at now: MonotonicTime, watchAfter: Int64) -> Sweep {
        var sweep = Sweep()
        var effects = RouteState.Effects()
        state.withLock { state in
            guard state.waiting > 0 || state.inFlight > 0 else {
                state.compact()
                state.isBusy = false
                sweep.isBusy = false
                return
            }
            Self.sweepQueue(&state, &sweep, at: now)
            for replica in state.replicas where replica.inFlight > 0 {
                Self.sweep(replica, &sweep, at: now, watchAfter: watchAfter)
                if Self.mayRecall(replica, state), replica.recall(at: now) { sweep.recalls.append(replica.link) }
            }
            state.tellWaiting(&effects)
        }
        for (invocation, failure) in sweep.expired { invocation.fail(failure) }
        if !sweep.unserved.isEmpty {
            let failure = CallFailure.deadlinePassed(executed: .no, because: whyNone)
            for invocation in sweep.unserved { invocation.fail(failure) }
        }
        for (link, id) in sweep.cancels { link.cancel(id) }
        for link in sweep.recalls { link.recall() }
        for invocation in sweep.unwatched {
            invocation.responder.watchClose { [self] in callerLeft(invocation) }
        }
        perform(effects, at: now)
        return sweep
    }

    private static func sweepQueue(_ state: inout RouteState, _ sweep: inout Sweep, at now: MonotonicTime) {
        for invocation in state.queue where invocation.isQueued {
            if invocation.isAnswered {
                state.takeOut(invocation)
            } else if invocation.deadline <= now {
                state.takeOut(invocation)
                if state.replicas.contains(where: \.isOpen) {
                    sweep.expired.append((invocation, .deadlinePassed(executed: .no)))
                } else {
                    sweep.unserved.append(invocation)
                }
            } else if !invocation.isWatched {
                invocation.isWatched = true
                sweep.unwatched.append(invocation)
            }
        }
        state.compact()
    }

    private static func sweep(
        _ replica: ReplicaSlots, _ sweep: inout Sweep, at now: MonotonicTime, watchAfter: Int64
    ) {
        var liveCalls = 0
        var latest: (id: UInt64, nanoseconds: Int64) = (0, .min)
        replica.noteBegun(at: now)
        replica.forEachCall { id, invocation, begun in
            // One that was sent ahead and has not begun tells nothing of the handler.
            let isAtWork = begun != .never
            if isAtWork {
                let beyond = now.nanoseconds(since: begun) - replica.callTimeout
                if beyond >= latest.nanoseconds { latest = (id, beyond) }
            }
            guard !invocation.isAnswered else { return }
            if now >= invocation.deadline {
                sweep.expired.append((invocation, .deadlinePassed(executed: .maybe)))
                sweep.cancels.append((replica.link, id))
            } else {
                if isAtWork { liveCalls += 1 }
                guard !invocation.isWatched, now.nanoseconds(since: invocation.arrived) >= watchAfter else { return }
                invocation.isWatched = true
                sweep.unwatched.append(invocation)
            }
        }
        let isNew = !replica.isStuck && latest.nanoseconds >= ReplicaOverrun.toleranceNanos
        if isNew {
            replica.isStuck = true
            replica.isOpen = false
        }
        guard replica.isStuck else { return }
        sweep.overruns.append(
            ReplicaOverrun(
                replica: replica, id: latest.id, nanoseconds: latest.nanoseconds, liveCalls: liveCalls, isNew: isNew))
    }

    /// Whether there is, or will be, another replica for what is given back.
    private static func mayRecall(_ replica: ReplicaSlots, _ state: borrowing RouteState) -> Bool {
        if replica.isOpen || replica.isStuck || state.replicas.contains(where: \.isOpen) { return true }
        if case .moved = state.mode { return true }
        return false
    }

    /// The caller of a call is gone: it gives its place in the queue back; a replica that has it is told.
    package func callerLeft(_ invocation: Invocation) {
        enum Outcome {
            case moved(FunctionRoute)
            case left(ErrorHead.Executed, (ReplicaLink, UInt64)?)
        }
        let outcome = state.withLock { state -> Outcome in
            if let route = invocation.movedTo.withLock({ $0 }), route !== self { return .moved(route) }
            switch invocation.place {
            case .nowhere: return .left(.maybe, nil)
            case .queued:
                state.takeOut(invocation)
                return .left(.no, nil)
            case .sent(let replica, let id): return .left(.maybe, (replica.link, id))
            }
        }
        switch outcome {
        case .moved(let route): route.callerLeft(invocation)
        case .left(let executed, let cancel):
            invocation.fail(.cancelled(executed: executed))
            if let (link, id) = cancel { link.cancel(id) }
        }
    }
}
