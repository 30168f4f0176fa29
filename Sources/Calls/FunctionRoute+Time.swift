internal import DequeModule
package import Platform

extension FunctionRoute {
    /// What one look at a route's calls has found.
    package struct Sweep {
        /// The replicas that are stuck.
        package var overruns: [ReplicaOverrun] = []
        /// Whether the route still has calls.
        package var isBusy = true
        fileprivate var expired: [(invocation: Invocation, failure: CallFailure)] = []
        /// Calls whose time ran out while no replica was there.
        fileprivate var unserved: [Invocation] = []
        fileprivate var unwatched: [Invocation] = []
        fileprivate var cancels: [(channel: any ReplicaChannel, id: UInt64)] = []
        fileprivate var recalls: [any ReplicaChannel] = []
    }

    /// Ends calls whose time is up, begins to watch the callers of calls that take long, and recalls the calls that
    /// were sent ahead to replicas that have turned slow.
    ///
    /// - Parameter watchAfter: the age of a call at which the gateway begins to watch its caller, in nanoseconds.
    package func sweep(at now: MonotonicTime, watchAfter: Int64) -> Sweep {
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
                if Self.mayRecall(replica, state), replica.recall(at: now) { sweep.recalls.append(replica.channel) }
            }
            state.reportWaiting(&effects)
        }
        for (invocation, failure) in sweep.expired { invocation.fail(failure) }
        if !sweep.unserved.isEmpty {
            let failure = CallFailure.deadlinePassed(executed: .no, because: missingReplicaReason)
            for invocation in sweep.unserved { invocation.fail(failure) }
        }
        for (channel, id) in sweep.cancels { channel.cancel(id) }
        for channel in sweep.recalls { channel.recall() }
        for invocation in sweep.unwatched {
            invocation.responder.watchClose { [self] in callerLeft(invocation) }
        }
        perform(effects, at: now)
        return sweep
    }

    private static func sweepQueue(_ state: inout RouteState, _ sweep: inout Sweep, at now: MonotonicTime) {
        for invocation in state.queue where invocation.isQueued {
            if invocation.isAnswered {
                state.uncount(invocation)
            } else if invocation.deadline <= now {
                state.uncount(invocation)
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
            // A call that was sent ahead and has not begun says nothing about the handler.
            let isAtWork = begun != .never
            if isAtWork {
                let beyond = now.nanoseconds(since: begun) - replica.callTimeout
                if beyond >= latest.nanoseconds { latest = (id, beyond) }
            }
            guard !invocation.isAnswered else { return }
            if now >= invocation.deadline {
                sweep.expired.append((invocation, .deadlinePassed(executed: .maybe)))
                sweep.cancels.append((replica.channel, id))
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

    /// Whether there is, or will be, another replica for the calls that are given back.
    private static func mayRecall(_ replica: ReplicaSlots, _ state: borrowing RouteState) -> Bool {
        if replica.isOpen || replica.isStuck || state.replicas.contains(where: \.isOpen) { return true }
        if case .moved = state.mode { return true }
        return false
    }

    /// The caller of a call has left: the call leaves the queue, or the replica that has it is told.
    package func callerLeft(_ invocation: Invocation) {
        enum Outcome {
            case moved(FunctionRoute)
            case left(CallFailure.Executed, (any ReplicaChannel, UInt64)?)
        }
        let outcome = state.withLock { state -> Outcome in
            if let route = invocation.movedTo.withLock({ $0 }), route !== self { return .moved(route) }
            switch invocation.position {
            case .nowhere: return .left(.maybe, nil)
            case .queued:
                state.uncount(invocation)
                return .left(.no, nil)
            case .sent(let replica, let id): return .left(.maybe, (replica.channel, id))
            }
        }
        switch outcome {
        case .moved(let route): route.callerLeft(invocation)
        case .left(let executed, let cancel):
            invocation.fail(.cancelled(executed: executed))
            if let (channel, id) = cancel { channel.cancel(id) }
        }
    }
}
