package import GRPC
internal import Locks

extension FunctionRoute {
    /// The replica has answered calls: frees their places and sends it what waits.
    ///
    /// - Parameters:
    ///   - answers: each gets its call, unless that is not known any more.
    ///   - sends: room for the calls that are sent, empty before and after.
    func answered(
        _ answers: inout [LinkAnswer], by replica: ReplicaSlots, sends: inout [SentCall], at now: MonotonicTime = .now
    ) {
        var effects = RouteState.Effects()
        state.withLock { state in
            let inFlight = replica.inFlight
            for index in answers.indices { answers[index].invocation = replica.vacate(answers[index].id) }
            replica.answered(inFlight - replica.inFlight, of: inFlight, at: now)
            state.lastActive = now
            if state.waiting > 0 { state.fill(replica, into: &sends, &effects, at: now) }
            effects.onIdle = RouteState.takeIdle(replica)
        }
        if !sends.isEmpty {
            replica.send(sends, at: now)
            sends.removeAll(keepingCapacity: true)
        }
        perform(effects, at: now)
    }

    /// The replica gives back calls that it had not begun: they go before all that wait, and to whoever has room.
    func returned(_ ids: [UInt64], by replica: ReplicaSlots, at now: MonotonicTime = .now) {
        var onIdle: (@Sendable () -> Void)?
        var calls: [Invocation] = []
        state.withLock { _ in
            replica.isRecalling = false
            // In the order in which they were sent.
            calls = ids.sorted().compactMap { replica.vacate($0) }
            onIdle = RouteState.takeIdle(replica)
        }
        // Between the two, a caller that leaves finds its call nowhere, and answers it.
        adopt(calls, at: now)
        onIdle?()
    }

    /// A call that a replica has, and that keeps its place; nil when it has no such call.
    func invocation(_ id: UInt64, of replica: ReplicaSlots) -> Invocation? {
        state.withLock { _ in replica.invocation(id) }
    }

    /// A replica is Ready: it gets calls from now on.
    func attach(_ replica: ReplicaSlots, at now: MonotonicTime = .now) {
        perform(at: now) { state, effects in
            if case .failed = state.mode { state.mode = .open }
            state.add(replica)
            state.fillAll(&effects, at: now)
        }
    }

    /// The replica gets no new calls; `onIdle` is called when it has none left, perhaps at once.
    func retire(_ replica: ReplicaSlots, onIdle: @escaping @Sendable () -> Void) {
        perform { state, effects in
            replica.isOpen = false
            replica.onIdle = onIdle
            effects.onIdle = RouteState.takeIdle(replica)
            state.tellWaiting(&effects)
        }
    }

    /// The replica cannot be reached any more: it gets no new calls.
    func close(_ replica: ReplicaSlots) {
        perform { state, effects in
            replica.isOpen = false
            state.tellWaiting(&effects)
        }
    }

    /// The replica is gone. What it had fails; it is not sent again, since it may have run.
    func detach(_ replica: ReplicaSlots, how: String) {
        var lost: [Invocation] = []
        perform { state, effects in
            replica.isOpen = false
            state.replicas.removeAll { $0 === replica }
            lost = replica.vacateAll()
            effects.onIdle = RouteState.takeIdle(replica)
            state.tellWaiting(&effects)
        }
        for invocation in lost { invocation.fail(.watcherDied(name, how: how)) }
    }

    // MARK: From one route to another

    /// Hands all calls that wait to `other`, in their order and before its own, and with them what still comes here or is
    /// given back by a replica, until `reopen`. What replicas have stays with them, and so do calls that name this version.
    ///
    /// `other` is open afterwards if it had handed its own calls to another.
    ///
    /// - Parameter failure: what calls that name this version are told, when they are not to stay: it is no longer kept.
    package func move(
        waitingTo other: FunctionRoute, refusingNamed failure: CallFailure? = nil, at now: MonotonicTime = .now
    ) {
        other.state.withLock { other in
            if case .moved = other.mode { other.mode = .open }
        }
        let (calls, refused) = state.withLock { state in
            state.mode = .moved(other, named: failure)
            let calls = state.takeAll { !$0.namesVersion }
            // Under this lock, so that whoever has it knows whose the call is.
            for call in calls { call.movedTo.withLock { $0 = other } }
            return (calls, failure == nil ? [] : state.takeAll())
        }
        if let failure {
            for call in refused { call.fail(failure) }
        }
        other.adopt(calls, at: now)
    }

    /// Takes calls that have waited or were sent before; they are never refused for a bound.
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
                state.becameBusy(&effects)
                state.fillAll(&effects, at: now)
                state.tellWaiting(&effects)
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
