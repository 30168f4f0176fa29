package import Platform

extension FunctionRoute {
    /// The replica gives back calls that it had not begun. They go before all waiting calls, and to any replica with
    /// room.
    package func returned(_ ids: [UInt64], by replica: ReplicaSlots, at now: MonotonicTime = .now) {
        var onIdle: (@Sendable () -> Void)?
        var calls: [Invocation] = []
        state.withLock { _ in
            replica.isRecalling = false
            // In the order in which they were sent.
            calls = ids.sorted().compactMap { replica.vacate($0) }
            onIdle = RouteState.consumeOnIdle(of: replica)
        }
        // A caller that leaves at this point finds its call nowhere, and ends it.
        adopt(calls, at: now)
        onIdle?()
    }

    /// The replica tells how long its handler takes for a call at present, in nanoseconds.
    package func note(pace nanoseconds: Int64, of replica: ReplicaSlots) {
        state.withLock { $0.note(pace: nanoseconds, of: replica) }
    }

    /// The call that a replica has under this id; it keeps its place. Nil when the replica has no such call.
    package func invocation(_ id: UInt64, of replica: ReplicaSlots) -> Invocation? {
        state.withLock { _ in replica.invocation(id) }
    }

    /// Adds a replica that is Ready: it takes calls from now on.
    package func attach(_ replica: ReplicaSlots, at now: MonotonicTime = .now) {
        perform(at: now) { state, effects in
            if case .failed = state.mode { state.mode = .open }
            state.add(replica)
            state.fillAll(&effects, at: now)
        }
    }

    /// Gives the replica no new calls. `onIdle` is called when it has no call left, perhaps at once.
    package func retire(_ replica: ReplicaSlots, onIdle: @escaping @Sendable () -> Void) {
        perform { state, effects in
            replica.isOpen = false
            replica.onIdle = onIdle
            effects.onIdle = RouteState.consumeOnIdle(of: replica)
            state.reportWaiting(&effects)
        }
    }

    /// Gives the replica no new calls: it cannot be reached any more.
    package func close(_ replica: ReplicaSlots) {
        perform { state, effects in
            replica.isOpen = false
            state.reportWaiting(&effects)
        }
    }

    /// Removes a replica that has ended. Its calls fail; they are not sent again, since they may have run.
    package func detach(_ replica: ReplicaSlots, how: String) {
        var lost: [Invocation] = []
        perform { state, effects in
            replica.isOpen = false
            state.replicas.removeAll { $0 === replica }
            lost = replica.vacateAll()
            effects.onIdle = RouteState.consumeOnIdle(of: replica)
            state.reportWaiting(&effects)
        }
        for invocation in lost { invocation.fail(.watcherDied(name, how: how)) }
    }

    // MARK: From one route to another

    /// Hands all waiting calls to `other`, in their order and before its own. Until `reopen`, calls that still come
    /// here or that a replica gives back go to `other` as well. Calls that replicas have stay with them, and calls that
    /// name this version stay here.
    ///
    /// If `other` had handed its own calls to another route, it keeps them from now on.
    ///
    /// - Parameter failure: ends the calls that name this version, where the version is no longer kept; nil lets them
    ///   stay.
    package func move(
        waitingTo other: FunctionRoute, refusingNamed failure: CallFailure? = nil, at now: MonotonicTime = .now
    ) {
        other.state.withLock { other in
            if case .moved = other.mode { other.mode = .open }
        }
        let (calls, refused) = state.withLock { state in
            state.mode = .moved(other, named: failure)
            let calls = state.removeAll { !$0.namesVersion }
            // Under this lock, so that every thread that holds it sees which route has the call.
            for call in calls { call.movedTo.withLock { $0 = other } }
            return (calls, failure == nil ? [] : state.removeAll())
        }
        if let failure {
            for call in refused { call.fail(failure) }
        }
        other.adopt(calls, at: now)
    }

    /// Queues calls that have waited or were sent before. No bound refuses them.
    private func adopt(_ calls: [Invocation], at now: MonotonicTime) {
        guard !calls.isEmpty else { return }
        var effects = RouteState.Effects()
        var moved: [Invocation] = []
        var refused: [Invocation] = []
        let mode = state.withLock { state in
            var own: [Invocation] = []
            switch state.mode {
            case .open: own = calls
            case .failed, .removed: refused = calls
            case .moved(let route, let failure):
                moved = calls.filter { !$0.namesVersion }
                // Under this lock, as in `move`.
                for call in moved { call.movedTo.withLock { $0 = route } }
                let named = calls.filter(\.namesVersion)
                if failure == nil { own = named } else { refused = named }
            }
            if !own.isEmpty {
                state.prepend(own.filter { !$0.isAnswered })
                state.noteBusy(&effects)
                state.fillAll(&effects, at: now)
                state.reportWaiting(&effects)
            }
            return state.mode
        }
        perform(effects, at: now)
        switch mode {
        case .open: break
        case .failed(let reason): for call in refused { call.fail(.functionFailed(name, reason: reason)) }
        case .removed(let failure): for call in refused { call.fail(failure) }
        case .moved(let route, let failure):
            if let failure { for call in refused { call.fail(failure) } }
            route.adopt(moved, at: now)
        }
    }
}
