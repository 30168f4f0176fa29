internal import GRPC
internal import Glibc
internal import Locks

/// One of a version's replicas, through all the processes that it has one after another.
final class Replica: Sendable {
    /// What its first process came to.
    typealias FirstOutcome = Result<Void, ConstructorFailure>

    private struct State {
        var shown: ReplicaState
        var run: ReplicaRun?
        /// Its devices, if it needs any: through all its processes.
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

    /// What is shown of it.
    var shown: ReplicaState { state.withLock { $0.shown } }

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

    /// Starts it, again and again, until it is told to stop, is stuck, or `died` says that it is enough.
    ///
    /// - Parameters:
    ///   - pause: how long to wait before its first start.
    ///   - died: a process of it ended, or could not even be asked for (`isElsewhere`): how long to wait before the next;
    ///     nil ends the replica.
    ///   - stuck: a call of it went on beyond the call's deadline: it ends, and another is to take its place. Told while it
    ///     may still run.
    func supervise(
        after pause: Duration = .zero,
        died: @Sendable (_ how: String, _ hadAnswered: Bool, _ isElsewhere: Bool) -> Duration?,
        stuck: @escaping @Sendable (_ hadAnswered: Bool) -> Void
    ) async {
        await wait(pause)
        await waitForDevices()
        let seat = await takeSeat()
        while let run = begin(seat, stuck) {
            let end = await run.run()
            state.withLock { state in
                state.run = nil
                state.waiting = nil
                state.shown.pid = 0
                state.shown.readySince = nil
            }
            guard case .died(let how, let hadAnswered, let failure) = end else { break }
            firstOutcome.settle(.failure(failure ?? ConstructorFailure(summary: how, traceback: "")))
            let mayRestart = state.withLock { $0.isActive && !$0.isStopping }
            guard mayRestart, let pause = died(how, hadAnswered, failure?.isElsewhere ?? false) else { break }
            state.withLock { state in
                state.shown.phase = .waiting
                state.shown.restarts += 1
                state.shown.reason = how
            }
            context.changes.announce()
            await wait(pause)
        }
        let lease = state.withLock { state in
            state.shown.phase = .stopping
            state.shown.gpus = []
            return state.lease.take()
        }
        lease?.end()
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

    private func begin(_ seat: SwarmSeat?, _ stuck: @escaping @Sendable (_ hadAnswered: Bool) -> Void) -> ReplicaRun? {
        let run = ReplicaRun(
            plan: plan, number: number, devices: shown.gpus, seat: seat, context: context, log: log, route: route,
            onStart: { [self] pid in state.withLock { $0.shown.pid = pid } },
            onReady: { [self] in becameReady($0, constructorMicros: $1) },
            onStuck: { [self] in becameStuck(hadAnswered: $0, stuck) })
        let mayStart = state.withLock { state in
            guard !state.isStopping else { return false }
            state.run = run
            state.shown.phase = .starting
            return true
        }
        context.changes.announce()
        return mayStart ? run : nil
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

    private func becameStuck(hadAnswered: Bool, _ stuck: (_ hadAnswered: Bool) -> Void) {
        let wasStopping = state.withLock { state in
            defer { state.isStopping = true }
            state.shown.phase = .stopping
            state.shown.reason = "a call went on beyond its deadline"
            state.lease?.leave()
            return state.isStopping
        }
        if !wasStopping { stuck(hadAnswered) }
        context.changes.announce()
    }

    /// Has the devices that it needs, or was told to stop.
    private func waitForDevices() async {
        guard let request = plan.gpus, state.withLock({ $0.lease == nil && !$0.isStopping }) else { return }
        if let shortage = context.gpus.shortage(request, replicas: 1) {
            state.withLock { state in
                guard !state.isStopping else { return }
                state.shown.phase = .waiting
                state.shown.reason = "waits for a GPU: \(shortage)"
            }
            route.explain(shortage: "its replica waits for a GPU: \(shortage)")
            log.append(text: "dcf: replica \(number) waits for a GPU: \(shortage)", replica: number, stream: .gateway)
            context.changes.announce()
        }
        let lease = await context.gpus.wait(request, for: plan.holder(number), until: stopped)
        let isStopping = state.withLock { state in
            state.lease = lease
            state.shown.gpus = lease?.devices ?? []
            if !state.isStopping { state.shown.reason = "" }
            return state.isStopping
        }
        route.explain(shortage: nil)
        if isStopping { lease?.leave() }
    }

    /// The pause before the next start; ends early when the replica is told to stop.
    private func wait(_ pause: Duration) async {
        guard pause > .zero else { return }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await Task.sleep(for: pause) }
            group.addTask { [stopped] in _ = await stopped.value() }
            await group.next()
            group.cancelAll()
        }
    }
}
