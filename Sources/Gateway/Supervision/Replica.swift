internal import GRPC
internal import Glibc
internal import Locks

/// One of a version's replicas, through all the processes that it has one after another.
final class Replica: Sendable {
    /// What its first process came to.
    typealias FirstOutcome = Result<Void, ConstructorFailure>

    /// A pause that others may use its devices in, and that is worth a line in the log.
    private static let longPause = Duration.seconds(1)

    private struct State {
        var shown: ReplicaState
        /// Whether it waits for its turn to start.
        var isInLine = false
        var run: ReplicaRun?
        /// Its devices, if it needs any: through all its processes, but for long pauses between them.
        var lease: GPULease?
        /// Ready, and not given any calls yet.
        var waiting: ReplicaSlots?
        var isActive: Bool
        /// No more calls, and no more processes.
        var isStopping = false
        var stopLimit: Duration?
    }

    let number: Int
    private let plan: FunctionPlan
    private let context: SupervisionContext
    private let log: FunctionLog
    private let route: FunctionRoute
    private let makeBody: ReplicaBodyMaker
    private let state: Lock<State>
    private let stopped = Promise<Void>()
    private let ended = Promise<Void>()
    /// Settled when the first process is Ready, or has ended.
    let firstOutcome = Promise<FirstOutcome>()

    /// - Parameter isActive: whether it gets calls as soon as it is Ready; else once `activate` is called, and until then
    ///   it is not started again.
    /// - Parameter lease: its devices; where it needs some and has none it waits for them before it is started.
    init(
        number: Int, plan: FunctionPlan, context: SupervisionContext, log: FunctionLog, route: FunctionRoute,
        isActive: Bool, lease: GPULease? = nil, makeBody: @escaping ReplicaBodyMaker
    ) {
        self.number = number
        self.plan = plan
        self.context = context
        self.log = log
        self.route = route
        self.makeBody = makeBody
        let shown = ReplicaState(number: number, gpus: lease?.devices ?? [])
        state = Lock(State(shown: shown, lease: lease, isActive: isActive), .replica)
    }

    /// What is shown of it.
    var shown: ReplicaState {
        var (shown, isInLine) = state.withLock { ($0.shown, $0.isInLine) }
        if isInLine {
            let others = context.starts.running
            shown.wait = "waits for its turn: \(others) \(others == 1 ? "other is" : "others are") starting"
        }
        return shown
    }

    /// It gets calls from now on.
    func activate() {
        let waiting = state.withLock { state in
            state.isActive = true
            defer { state.waiting = nil }
            return state.waiting
        }
        if let waiting { route.attach(waiting) }
    }

    /// Ends it in good order.
    ///
    /// - Parameter limit: how long its calls may go on; nil leaves it to their own deadlines.
    func stop(within limit: Duration? = nil) {
        let run = state.withLock { state in
            state.isStopping = true
            state.stopLimit = limit
            state.shown.phase = .stopping
            state.lease?.leave()
            return state.run
        }
        stopped.settle(())
        run?.stop(within: limit)
        context.changes.announce()
    }

    /// Returns when it has ended.
    func waitUntilEnded() async {
        _ = await ended.value()
    }

    /// Starts it, again and again, until it is told to stop or is stuck.
    ///
    /// - Parameters:
    ///   - rest: how long to wait before its first start, and why.
    ///   - died: a process of it ended that should not have, or could not even be made: how long to wait before the next.
    ///   - stuck: it was at a call for longer than it may: it ends, and another is to take its place. Told while it may still
    ///     run.
    func supervise(
        after rest: (pause: Duration, reason: String)? = nil,
        died: @Sendable (_ how: String, DeathCause, _ hadAnswered: Bool) -> Duration,
        stuck: @escaping @Sendable () -> Void
    ) async {
        if let rest { await wait(rest.pause, because: rest.reason) }
        let seat = await takeSeat()
        while true {
            await waitForDevices()
            guard let run = begin(seat, stuck) else { break }
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
        await seat?.leave()
        firstOutcome.settle(.failure(ConstructorFailure(summary: "it was stopped", traceback: "")))
        context.changes.announce()
        ended.settle(())
    }

    /// Its place among the tasks of the version, where those are a Swarm's.
    private func takeSeat() async -> SwarmSeat? {
        guard case .service(let source) = plan.source, !state.withLock({ $0.isStopping }) else { return nil }
        return await context.swarm?.seat(plan, source, replica: number, log: log)
    }

    private func begin(_ seat: SwarmSeat?, _ stuck: @escaping @Sendable () -> Void) -> ReplicaRun? {
        let isUrgent: @Sendable () -> Bool = { [route] in route.load.waiting > 0 }
        let run = ReplicaRun(
            plan: plan, number: number,
            body: makeBody(
                ReplicaBodyRequest(
                    plan: plan, number: number, devices: shown.gpus, seat: seat, context: context, log: log,
                    isUrgent: isUrgent)),
            context: context, log: log, route: route,
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
            state.lease?.leave()
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

    /// Has the devices that it needs, or was told to stop.
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
        if isStopping { lease?.leave() }
    }

    /// The pause before the next start; ends early when the replica is told to stop.
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
