internal import Calls
internal import Glibc
internal import Platform

/// One replica of a version, through all the processes that it has one after another. Safe to use from any thread.
final class Replica: Sendable {
    /// The outcome of its first process.
    typealias FirstOutcome = Result<Void, ConstructorFailure>

    /// The shortest pause in which other replicas may use the devices. Such a pause also gets a line in the log.
    private static let longPause = Duration.seconds(1)

    private struct State {
        var shown: ReplicaState
        /// Whether the replica waits for its turn to start.
        var isInLine = false
        var run: ReplicaRun?
        /// The devices of the replica, if it needs any. It keeps them through all its processes, except in long pauses.
        var lease: GPULease?
        /// The slots of a replica that is Ready and gets no calls yet.
        var waiting: ReplicaSlots?
        var isActive: Bool
        /// Whether the replica gets no more calls and no more processes.
        var isStopping = false
        var stopLimit: Duration?
    }

    let number: Int
    private let plan: FunctionPlan
    private let context: SupervisionContext
    private let log: FunctionLog
    private let route: FunctionRoute
    private let state: Lock<State>
    private let stopped = Promise<Void>()
    private let ended = Promise<Void>()
    /// Settled when the first process is Ready or has ended.
    let firstOutcome = Promise<FirstOutcome>()

    /// - Parameters:
    ///   - isActive: whether the replica gets calls as soon as it is Ready. If not, it gets calls after `activate`, and
    ///     until then it is not started again.
    ///   - lease: its devices. A replica that needs devices and has no lease waits for one before it starts.
    init(
        number: Int, plan: FunctionPlan, context: SupervisionContext, log: FunctionLog, route: FunctionRoute,
        isActive: Bool, lease: GPULease? = nil
    ) {
        self.number = number
        self.plan = plan
        self.context = context
        self.log = log
        self.route = route
        let shown = ReplicaState(number: number, gpus: lease?.devices ?? [])
        state = Lock(State(shown: shown, lease: lease, isActive: isActive), .replica)
    }

    /// The state of the replica, for lists.
    var shown: ReplicaState {
        var (shown, isInLine) = state.withLock { ($0.shown, $0.isInLine) }
        if isInLine {
            let others = context.starts.running
            shown.wait = "waits for its turn: \(others) \(others == 1 ? "other is" : "others are") starting"
        }
        return shown
    }

    /// Lets the replica get calls from now on.
    func activate() {
        let waiting = state.withLock { state in
            state.isActive = true
            defer { state.waiting = nil }
            return state.waiting
        }
        if let waiting { route.attach(waiting) }
    }

    /// Ends the replica in good order.
    ///
    /// - Parameter limit: how long its calls may go on. With nil they go on until their own deadlines.
    func stop(within limit: Duration? = nil) {
        let run = state.withLock { state in
            state.isStopping = true
            state.stopLimit = limit
            state.shown.phase = .stopping
            state.lease?.markStopping()
            return state.run
        }
        stopped.settle(())
        run?.stop(within: limit)
        context.changes.announce()
    }

    /// Returns when the replica has ended.
    func waitUntilEnded() async {
        _ = await ended.value()
    }

    /// Starts the replica again and again, until it is told to stop or is stuck.
    ///
    /// - Parameters:
    ///   - rest: how long to wait before the first start, and why.
    ///   - died: called when a process ended that should not have, or could not be started. Returns how long to wait
    ///     before the next start.
    ///   - stuck: called when a handler overran its call limit: this replica ends, and another one is to take its
    ///     place. The process may still run.
    func supervise(
        after rest: (pause: Duration, reason: String)? = nil,
        died: @Sendable (_ how: String, DeathCause, _ hadAnswered: Bool) -> Duration,
        stuck: @escaping @Sendable () -> Void
    ) async {
        if let rest { await wait(rest.pause, because: rest.reason) }
        let placement = await findPlace()
        while let placement {
            await waitForDevices()
            guard let run = begin(placement, stuck) else { break }
            let end = await run.run()
            state.withLock { state in
                state.run = nil
                state.waiting = nil
                state.isInLine = false
                state.shown.pid = 0
                state.shown.readySince = nil
            }
            guard case .died(let how, let cause, let hadAnswered, let failure) = end else { break }
            firstOutcome.settle(.failure(failure ?? ConstructorFailure(summary: how, traceback: "")))
            guard state.withLock({ $0.isActive && !$0.isStopping }) else { break }
            let pause = died(how, cause, hadAnswered)
            state.withLock { $0.shown.restarts += 1 }
            await wait(pause, because: how)
        }
        state.withLock { $0.shown.phase = .stopping }
        giveDevicesBack()
        await placement?.release()
        firstOutcome.settle(.failure(ConstructorFailure(summary: "it was stopped", traceback: "")))
        context.changes.announce()
        ended.settle(())
    }

    /// - Returns: nil if the replica was told to stop.
    private func findPlace() async -> (any ReplicaPlacement)? {
        guard !state.withLock({ $0.isStopping }) else { return nil }
        return await context.place(
            PlacementRequest(plan: plan, number: number, log: log, isUrgent: { [route] in route.load.waiting > 0 }))
    }

    private func begin(_ placement: any ReplicaPlacement, _ stuck: @escaping @Sendable () -> Void) -> ReplicaRun? {
        let run = ReplicaRun(
            plan: plan, number: number, backend: placement.makeBackend(devices: shown.gpus), context: context, log: log,
            route: route,
            onTurn: { [self] in waitsForTurn($0) },
            onStart: { [self] pid in state.withLock { $0.shown.pid = pid } },
            onReady: { [self] in becameReady($0, constructorMicros: $1) },
            onStuck: { [self] in becameStuck(stuck) })
        let mayStart = state.withLock { state in
            guard !state.isStopping else { return false }
            state.run = run
            state.shown.phase = .starting
            state.shown.nextTry = nil
            return true
        }
        context.changes.announce()
        return mayStart ? run : nil
    }

    private func waitsForTurn(_ waits: Bool) {
        let isNew = state.withLock { state in
            defer { state.isInLine = waits }
            return state.isInLine != waits
        }
        if isNew { context.changes.announce() }
    }

    private func becameReady(_ slots: ReplicaSlots, constructorMicros: UInt64) {
        let isActive = state.withLock { state in
            if !state.isStopping { state.shown.phase = .ready }
            state.shown.readySince = .now
            state.shown.constructorMicros = constructorMicros
            state.shown.reason = ""
            guard !state.isStopping else { return false }
            if !state.isActive { state.waiting = slots }
            return state.isActive
        }
        if isActive { route.attach(slots) }
        firstOutcome.settle(.success(()))
        context.changes.announce()
    }

    private func becameStuck(_ stuck: () -> Void) {
        let wasStopping = state.withLock { state in
            defer { state.isStopping = true }
            state.shown.phase = .stopping
            state.shown.reason = "it was at a call for more than \(plan.callTimeout.inSeconds) s (timeout.call)"
            state.lease?.markStopping()
            return state.isStopping
        }
        if !wasStopping { stuck() }
        context.changes.announce()
    }

    private func giveDevicesBack() {
        let lease = state.withLock { state in
            state.shown.gpus = []
            return state.lease.take()
        }
        lease?.end()
    }

    /// Waits until the replica has the devices that it needs, or is told to stop.
    private func waitForDevices() async {
        guard let request = plan.gpus, state.withLock({ $0.lease == nil && !$0.isStopping }) else { return }
        if let shortage = context.gpus.shortage(request, replicas: 1) {
            state.withLock { state in
                guard !state.isStopping else { return }
                state.shown.phase = .waiting
                state.shown.wait = "waits for a GPU: \(shortage)"
            }
            log.append(text: "dcf: replica \(number) waits for a GPU: \(shortage)", replica: number, stream: .gateway)
            context.changes.announce()
        }
        let lease = await context.gpus.wait(request, for: plan.holder(number), until: stopped)
        let isStopping = state.withLock { state in
            state.lease = lease
            state.shown.gpus = lease?.devices ?? []
            state.shown.wait = nil
            return state.isStopping
        }
        if isStopping { lease?.markStopping() }
    }

    /// Waits before the next start. Ends early when the replica is told to stop.
    private func wait(_ pause: Duration, because reason: String) async {
        state.withLock { state in
            guard !state.isStopping else { return }
            state.shown.phase = .waiting
            state.shown.reason = reason
            state.shown.nextTry = MonotonicTime.now.advanced(by: pause)
        }
        context.changes.announce()
        guard pause > .zero else { return }
        if pause >= Self.longPause {
            giveDevicesBack()
            log.append(
                text: "dcf: replica \(number): \(ReplicaState.nextTry(in: pause))", replica: number, stream: .gateway)
        }
        _ = await stopped.value(within: pause)
    }
}
