internal import Calls
internal import Platform

/// The replicas of one version of a function. Safe to use from any thread.
final class ReplicaSet: Sendable {
    private struct State {
        var replicas: [Replica] = []
        /// How many replicas there should be, without those that are ending.
        var wanted = 0
        var next = 1
        var isActive = false
        var isStopped = false
        /// The devices of replicas that are not started yet.
        var leases: [GPULease]
        /// Keeps the template of the replicas, if they have one, until the set is stopped.
        var template: TemplateReference?
    }

    let plan: FunctionPlan
    private let context: SupervisionContext
    private let log: FunctionLog
    private let route: FunctionRoute
    private let backoff: Backoff
    private let state: Lock<State>

    /// - Parameters:
    ///   - backoff: the back-off of the version.
    ///   - leases: the devices of the first replicas, if they need any.
    init(
        plan: FunctionPlan, context: SupervisionContext, log: FunctionLog, route: FunctionRoute, isActive: Bool,
        backoff: Backoff, leases: [GPULease] = []
    ) {
        self.plan = plan
        self.context = context
        self.log = log
        self.route = route
        self.backoff = backoff
        let template = plan.templateKey(inherited: context.variables).map { context.templates.reference(to: $0) }
        state = Lock(State(isActive: isActive, leases: leases, template: template), .replicaSet)
    }

    /// The states of the replicas, by number, for lists.
    var shown: [ReplicaState] { state.withLock { $0.replicas }.map(\.shown) }

    /// How many replicas are not ending.
    var living: Int { state.withLock { $0.replicas }.count { $0.shown.phase != .stopping } }

    /// Starts `count` replicas and returns when all of them are Ready.
    ///
    /// The first one starts alone, so a constructor that raises runs once.
    /// - Throws: the failure of the first replica that failed; all replicas are stopped then.
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

    /// Waits for the outcome of a replica's first process. If the replica waits for something itself, reports that
    /// once.
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

    /// Starts the replicas that are missing.
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
                    lease: lease)
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
        // A deploy or restart is not delayed: its caller wants to know the outcome now.
        let rest = state.withLock { $0.isActive } ? backoff.current : nil
        await replica.supervise(after: rest) { how, cause, hadAnswered in
            // The gateway that owns the service starts the next task; this one only waits for it.
            plan.isShared ? .zero : backoff.died(cause, hadAnswered: hadAnswered, because: how)
        } stuck: { [self] in
            fill()
        }
        removeEnded(replica)
    }

    /// The devices of a replica, if it needs any and they are free. If they are not, the replica waits for them.
    private func takeDevices(_ number: Int) -> GPULease? {
        guard let request = plan.gpus else { return nil }
        return context.gpus.take(request, for: plan.holder(number))
    }

    /// Lets the replicas get calls from now on. Replicas that die are started again from now on, including those that
    /// have died already.
    func activate() {
        let replicas = state.withLock { state in
            state.isActive = true
            return state.replicas
        }
        for replica in replicas { replica.activate() }
        fill()
    }

    /// Sets the number of replicas to `count`. The newest ones end first.
    func scale(to count: Int) {
        let surplus = state.withLock { state in
            state.wanted = count
            return state.replicas.filter { $0.shown.phase != .stopping }.dropFirst(count)
        }
        for replica in surplus { replica.stop() }
        fill()
    }

    /// Ends all replicas in good order.
    func stop(within limit: Duration? = nil) {
        let (replicas, template, leases) = state.withLock { state in
            state.isStopped = true
            defer { state.leases = [] }
            return (state.replicas, state.template.take(), state.leases)
        }
        for replica in replicas { replica.stop(within: limit) }
        for lease in leases { lease.end() }
        // Not under the lock: this may end the template.
        withExtendedLifetime(template) {}
    }

    /// The reference to the template of the replicas. Nil if they have none, or if the set was told to stop.
    var template: TemplateReference? { state.withLock { $0.template } }

    /// Whether the set was told to stop.
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
        // A replica may have died just before the activation.
        if isActive { fill() }
    }
}
