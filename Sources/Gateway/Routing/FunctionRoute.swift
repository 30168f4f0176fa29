internal import DequeModule
internal import GRPC
internal import Synchronization
internal import WatcherLink

/// The way of a function's calls: the queue in which they wait, and the replicas that have room for them.
///
/// Calls wait here and not at a replica, so none waits behind a slow one while another replica is free. Admission and
/// completion each take the lock once, for a few hundred nanoseconds, and write to the replica's link on the caller's
/// own thread.
package final class FunctionRoute: Sendable {
    /// What happens to calls that arrive.
    enum Mode: Sendable, Equatable {
        case open
        /// At once refused, with this reason.
        case failed(String)
        case removed
    }

    private struct State {
        var mode = Mode.open
        var replicas: [ReplicaSlots] = []
        /// Answered ones (their caller left, or their time was up) stay until they come to the front or are swept.
        var queue = Deque<Invocation>()
        /// Waiting calls that are not answered.
        var waiting = 0
        var invocations: UInt64 = 0
        var callTimeout: Duration
        var queueBound: Int
    }

    package let name: String
    private let queuedBytes: QueuedBytes
    private let state: Mutex<State>

    package init(name: String, callTimeout: Duration, queueBound: Int, queuedBytes: QueuedBytes) {
        self.name = name
        self.queuedBytes = queuedBytes
        state = Mutex(State(callTimeout: callTimeout, queueBound: queueBound))
    }

    /// What a new version of the function says.
    func configure(callTimeout: Duration, queueBound: Int) {
        state.withLock { state in
            state.callTimeout = callTimeout
            state.queueBound = queueBound
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

    // MARK: A call's way in

    /// Sends the call to a replica that has room, or lets it wait, or refuses it. Never blocks.
    package func admit(_ invocation: Invocation) {
        enum Outcome {
            case send(ReplicaLink, UInt64)
            case waits
            case refused(CallFailure)
        }
        let now = invocation.arrived
        let outcome = state.withLock { state -> Outcome in
            switch state.mode {
            case .open: break
            case .failed(let reason): return .refused(.functionFailed(name, reason: reason))
            case .removed: return .refused(.unknownFunction(name, nearest: nil))
            }
            invocation.limit(to: state.callTimeout)
            guard now < invocation.deadline else { return .refused(.deadlinePassed(executed: .no)) }
            state.invocations += 1
            if state.waiting == 0, let replica = Self.leastLoaded(state.replicas, at: now) {
                return .send(replica.link, replica.occupy(invocation, at: now))
            }
            guard state.waiting < state.queueBound else {
                return .refused(.queueFull(name, bound: state.queueBound))
            }
            guard queuedBytes.take(invocation.input.count) else {
                return .refused(.queuedBytesFull(limit: queuedBytes.limit))
            }
            invocation.place = .queued
            state.queue.append(invocation)
            state.waiting += 1
            return .waits
        }
        switch outcome {
        case .send(let link, let id): link.send(invocation, id: id, at: now)
        case .waits: break
        case .refused(let failure): invocation.fail(failure)
        }
    }

    private static func leastLoaded(_ replicas: [ReplicaSlots], at now: MonotonicTime) -> ReplicaSlots? {
        var best: ReplicaSlots?
        for replica in replicas where replica.hasRoom(at: now) {
            if replica.inFlight < best?.inFlight ?? .max { best = replica }
        }
        return best
    }

    // MARK: What replicas say

    /// The replica has answered calls: frees their places and sends it what waits.
    ///
    /// - Returns: the calls, in the order of the ids; nil where the call is not known any more.
    func answered(_ ids: [UInt64], by replica: ReplicaSlots) -> [Invocation?] {
        let now = MonotonicTime.now
        var sends: [(Invocation, UInt64)] = []
        var idle: (@Sendable () -> Void)?
        let invocations = state.withLock { state in
            let invocations = ids.map { replica.vacate($0) }
            replica.window.answered(ids.count, at: now)
            if state.waiting > 0 {
                sends = takeWaiting(&state, for: replica, at: now)
            }
            idle = Self.takeIdle(replica)
            return invocations
        }
        replica.link.send(sends, at: now)
        idle?()
        return invocations
    }

    private func takeWaiting(
        _ state: inout State, for replica: ReplicaSlots, at now: MonotonicTime
    ) -> [(Invocation, UInt64)] {
        var sends: [(Invocation, UInt64)] = []
        while replica.hasRoom(at: now), let invocation = state.queue.popFirst() {
            // One that was answered while it waited has been counted out already.
            guard case .queued = invocation.place else { continue }
            state.waiting -= 1
            queuedBytes.give(back: invocation.input.count)
            sends.append((invocation, replica.occupy(invocation, at: now)))
        }
        return sends
    }

    private static func takeIdle(_ replica: ReplicaSlots) -> (@Sendable () -> Void)? {
        guard !replica.isOpen, replica.inFlight == 0 else { return nil }
        defer { replica.onIdle = nil }
        return replica.onIdle
    }

    /// A replica is Ready: it gets calls from now on.
    func attach(_ replica: ReplicaSlots) {
        let now = MonotonicTime.now
        let sends = state.withLock { state in
            if case .failed = state.mode { state.mode = .open }
            state.replicas.append(replica)
            return takeWaiting(&state, for: replica, at: now)
        }
        replica.link.send(sends, at: now)
    }

    /// The replica gets no new calls; `onIdle` is called when it has none left, perhaps at once.
    func retire(_ replica: ReplicaSlots, onIdle: @escaping @Sendable () -> Void) {
        let idle = state.withLock { state in
            replica.isOpen = false
            replica.onIdle = onIdle
            return Self.takeIdle(replica)
        }
        idle?()
    }

    /// The replica cannot be reached any more: it gets no new calls.
    func close(_ replica: ReplicaSlots) {
        state.withLock { _ in replica.isOpen = false }
    }

    /// The replica is gone. What it had fails; it is not sent again, since it may have run.
    func detach(_ replica: ReplicaSlots, how: String) {
        var idle: (@Sendable () -> Void)?
        let lost = state.withLock { state in
            replica.isOpen = false
            state.replicas.removeAll { $0 === replica }
            let lost = replica.vacateAll()
            idle = Self.takeIdle(replica)
            return lost
        }
        for invocation in lost { invocation.fail(.watcherDied(name, how: how)) }
        idle?()
    }

    // MARK: What the supervisor says

    /// Calls are refused at once from now on, those that wait too, until a replica attaches or `reopen`.
    func fail(reason: String) {
        close(.failed(reason), failure: .functionFailed(name, reason: reason))
    }

    func reopen() {
        state.withLock { $0.mode = .open }
    }

    /// The function is deleted.
    func remove() {
        close(.removed, failure: .unknownFunction(name, nearest: nil))
    }

    private func close(_ mode: Mode, failure: CallFailure) {
        let waiting = state.withLock { state in
            state.mode = mode
            let waiting = state.queue.filter { Self.isQueued($0) }
            for invocation in waiting { takeOut(invocation, &state) }
            state.queue.removeAll()
            return waiting
        }
        for invocation in waiting { invocation.fail(failure) }
    }

    private static func isQueued(_ invocation: Invocation) -> Bool {
        guard case .queued = invocation.place else { return false }
        return true
    }

    private func takeOut(_ invocation: Invocation, _ state: inout State) {
        invocation.place = .nowhere
        state.waiting -= 1
        queuedBytes.give(back: invocation.input.count)
    }

    // MARK: Time and callers that leave

    /// Ends calls whose time is up, and begins to watch for the callers of those that take long.
    ///
    /// - Returns: replicas that are stuck.
    func sweep(at now: MonotonicTime, watchAfter: Duration) -> [ReplicaOverrun] {
        var expired: [(Invocation, CallFailure)] = []
        var unwatched: [Invocation] = []
        var cancels: [(ReplicaLink, UInt64)] = []
        var overruns: [ReplicaOverrun] = []
        state.withLock { state in
            guard !state.queue.isEmpty || state.replicas.contains(where: { $0.inFlight > 0 }) else { return }
            for invocation in state.queue where Self.isQueued(invocation) {
                if invocation.deadline <= now {
                    takeOut(invocation, &state)
                    expired.append((invocation, .deadlinePassed(executed: .no)))
                } else if !invocation.isWatched {
                    invocation.isWatched = true
                    unwatched.append(invocation)
                }
            }
            if state.queue.count > 2 * state.waiting + 64 {
                state.queue = Deque(state.queue.filter { Self.isQueued($0) })
            }
            for replica in state.replicas where replica.inFlight > 0 {
                for (index, entry) in replica.occupied.enumerated() {
                    let invocation = entry.invocation
                    if invocation.deadline <= now {
                        if index == 0 {
                            overruns.append(
                                ReplicaOverrun(
                                    replica: replica, id: entry.id,
                                    nanoseconds: now.nanoseconds(since: invocation.deadline)))
                        }
                        guard !invocation.isAnswered else { continue }
                        expired.append((invocation, .deadlinePassed(executed: .maybe)))
                        cancels.append((replica.link, entry.id))
                    } else if !invocation.isWatched, !invocation.isAnswered,
                        invocation.arrived.advanced(by: watchAfter) <= now
                    {
                        invocation.isWatched = true
                        unwatched.append(invocation)
                    }
                }
            }
        }
        for (invocation, failure) in expired { invocation.fail(failure) }
        for (link, id) in cancels { link.cancel(id) }
        for invocation in unwatched {
            invocation.responder.watchClose { [self] in callerLeft(invocation) }
        }
        return overruns
    }

    /// Whether any call waits or is with a replica.
    var isBusy: Bool {
        state.withLock { state in state.waiting > 0 || state.replicas.contains { $0.inFlight > 0 } }
    }

    /// The caller of a call is gone: it gives its place in the queue back; a replica that has it is told.
    package func callerLeft(_ invocation: Invocation) {
        let (executed, cancel) = state.withLock { state -> (ErrorHead.Executed, (ReplicaLink, UInt64)?) in
            switch invocation.place {
            case .nowhere: return (.maybe, nil)
            case .queued:
                takeOut(invocation, &state)
                return (.no, nil)
            case .sent(let replica, let id): return (.maybe, (replica.link, id))
            }
        }
        invocation.fail(.cancelled(executed: executed))
        if let (link, id) = cancel { link.cancel(id) }
    }
}
