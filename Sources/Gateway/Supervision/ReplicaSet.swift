internal import Locks

/// The replicas of one version of a function.
final class ReplicaSet: Sendable {
    private struct State {
        var replicas: [Replica] = []
        /// How many there are to be, those that end not counted.
        var wanted = 0
        var next = 1
        var isActive = false
        var isStopped = false
        /// The devices of replicas that are not there yet.
        var leases: [GPULease]
        /// To the template of its replicas, if they have one, until it is stopped.
        var template: TemplateClaim?
    }

    let plan: FunctionPlan
    private let context: SupervisionContext
    private let log: FunctionLog
    private let route: FunctionRoute
    private let backoff: Backoff
    private let makeBody: ReplicaBodyMaker
    private let state: Lock<State>

    /// - Parameters:
    ///   - backoff: the version's.
    ///   - leases: the devices of its first replicas, if they need any.
    ///   - makeBody: what carries its replicas; what the plan asks for, unless a test plays it.
    init(
        plan: FunctionPlan, context: SupervisionContext, log: FunctionLog, route: FunctionRoute, isActive: Bool,
        backoff: Backoff, leases: [GPULease] = [], makeBody: @escaping ReplicaBodyMaker = { $0.makeBody() }
    ) {
        self.plan = plan
        self.context = context
        self.log = log
        self.route = route
        self.backoff = backoff
        self.makeBody = makeBody
        let template = plan.templateKey(inherited: context.variables).map { context.templates.claim($0) }
        state = Lock(State(isActive: isActive, leases: leases, template: template), .replicaSet)
    }

    /// What is shown of its replicas, by number.
    var shown: [ReplicaState] { state.withLock { $0.replicas }.map(\.shown) }

    /// How many of them are not being stopped.
    var living: Int { state.withLock { $0.replicas }.count { $0.shown.phase != .stopping } }

    /// Starts `count` replicas and returns when all are Ready.
    ///
    /// The first one goes ahead alone, so a constructor that raises runs once.
    /// - Throws: what the first that failed said; then all are stopped.
    func start(_ count: Int, progress: (String) -> Void) async throws(ConstructorFailure) {
        progress("starting")
        do throws(ConstructorFailure) {
            try await ready(add(1), progress)
            if count > 1 {
                progress("starting \(count - 1) more replica\(count == 2 ? "" : "s")")
                try await ready(add(count - 1), progress)
            }
            guard !isStopped else { throw ConstructorFailure(summary: "the deploy was given up", traceback: "") }
        } catch {
            stop()
            await waitUntilEnded()
            throw error
        }
    }

    private func ready(_ replicas: [Replica], _ progress: (String) -> Void) async throws(ConstructorFailure) {
        for replica in replicas {
            guard let outcome = await firstOutcome(of: replica, progress) else {
                throw ConstructorFailure(summary: "the deploy was given up", traceback: "")
            }
            try outcome.get()
        }
    }

    /// Waits for it, and tells once if it waits for something itself.
    private func firstOutcome(of replica: Replica, _ progress: (String) -> Void) async -> Replica.FirstOutcome? {
        var isTold = false
        while replica.firstOutcome.current == nil, !Task.isCancelled {
            let change = context.changes.upcoming
            if !isTold, let wait = replica.shown.wait {
                isTold = true
                progress(wait)
            }
            _ = await replica.firstOutcome.value(unless: change)
        }
        return replica.firstOutcome.current
    }

    /// Adds replicas and starts them.
    @discardableResult
    func add(_ count: Int) -> [Replica] {
        state.withLock { $0.wanted += count }
        return fill()
    }

    /// Starts as many replicas as are missing.
    @discardableResult
    private func fill() -> [Replica] {
        let added = state.withLock { state -> [Replica] in
            guard !state.isStopped else { return [] }
            let living = state.replicas.count { $0.shown.phase != .stopping }
            let added = (0..<max(state.wanted - living, 0)).map { offset in
                let number = state.next + offset
                let lease = state.leases.isEmpty ? takeDevices(number) : state.leases.removeFirst()
                return Replica(
                    number: number, plan: plan, context: context, log: log, route: route, isActive: state.isActive,
                    lease: lease, makeBody: makeBody)
            }
            state.next += added.count
            state.replicas += added
            return added
        }
        for replica in added { context.tasks.add { [self] in await supervise(replica) } }
        context.changes.announce()
        return added
    }

    private func supervise(_ replica: Replica) async {
        // Whoever deploys or restarts it wants to know now.
        let rest = state.withLock { $0.isActive } ? backoff.current : nil
        await replica.supervise(after: rest) { how, cause, hadAnswered in
            // Its owner looks after it; here the next task is waited for.
            plan.isShared ? .zero : backoff.died(cause, hadAnswered: hadAnswered, because: how)
        } stuck: { [self] in
            fill()
        }
        removeEnded(replica)
    }

    /// The devices of a replica, if it needs any and they are free; else it waits for them.
    private func takeDevices(_ number: Int) -> GPULease? {
        guard let request = plan.gpus else { return nil }
        return context.gpus.take(request, for: plan.holder(number))
    }

    /// Its replicas get calls from now on, and are started again when they die; also those that have died by now.
    func activate() {
        let replicas = state.withLock { state in
            state.isActive = true
            return state.replicas
        }
        for replica in replicas { replica.activate() }
        fill()
    }

    /// Makes the number of replicas `count`, newest ones ending first.
    func scale(to count: Int) {
        let surplus = state.withLock { state in
            state.wanted = count
            return state.replicas.filter { $0.shown.phase != .stopping }.dropFirst(count)
        }
        for replica in surplus { replica.stop() }
        fill()
    }

    /// Ends all of them in good order.
    func stop(within limit: Duration? = nil) {
        let (replicas, template, leases) = state.withLock { state in
            state.isStopped = true
            defer { state.leases = [] }
            return (state.replicas, state.template.take(), state.leases)
        }
        for replica in replicas { replica.stop(within: limit) }
        for lease in leases { lease.end() }
        // Not under the lock: it may end the template.
        withExtendedLifetime(template) {}
    }

    /// The claim to the template of its replicas, if they have one and it was not told to stop.
    var template: TemplateClaim? { state.withLock { $0.template } }

    /// Whether it was told to stop.
    var isStopped: Bool { state.withLock { $0.isStopped } }

    func waitUntilEnded() async {
        for replica in state.withLock({ $0.replicas }) { await replica.waitUntilEnded() }
    }

    private func removeEnded(_ replica: Replica) {
        let isActive = state.withLock { state in
            state.replicas.removeAll { $0 === replica }
            return state.isActive
        }
        context.changes.announce()
        // One that died just before the activation.
        if isActive { fill() }
    }
}
