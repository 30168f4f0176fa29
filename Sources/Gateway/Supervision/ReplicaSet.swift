internal import GRPC
internal import Locks
internal import Logging

/// The replicas of one version of a function.
final class ReplicaSet: Sendable {
    private struct State {
        var replicas: [Replica] = []
        /// How many there are to be, those that end not counted.
        var wanted = 0
        var next = 1
        var isActive = false
        var isStopped = false
        var policy = RestartPolicy()
        /// Why it is given up.
        var failure: String?
        /// The devices of replicas that are not there yet.
        var leases: [GPULease]
        /// To the template of its replicas, if they have one, until it is stopped.
        var template: TemplateClaim?
    }

    /// Between two starts while what runs them cannot be reached.
    private static let elsewherePause = Duration.seconds(2)

    let plan: FunctionPlan
    private let context: SupervisionContext
    private let log: FunctionLog
    private let route: FunctionRoute
    private let state: Lock<State>

    /// - Parameter leases: the devices of its first replicas, if they need any.
    init(
        plan: FunctionPlan, context: SupervisionContext, log: FunctionLog, route: FunctionRoute, isActive: Bool,
        leases: [GPULease] = []
    ) {
        self.plan = plan
        self.context = context
        self.log = log
        self.route = route
        let template = plan.templateKey(inherited: context.variables).map { context.templates.claim($0) }
        state = Lock(State(isActive: isActive, leases: leases, template: template), .replicaSet)
    }

    /// What is shown of its replicas, by number.
    var shown: [ReplicaState] { state.withLock { $0.replicas }.map(\.shown) }

    /// How many of them are not being stopped.
    var living: Int { state.withLock { $0.replicas }.count { $0.shown.phase != .stopping } }

    /// Why the function is Failed, if it is.
    var failure: String? { state.withLock { $0.failure } }

    /// Starts `count` replicas and returns when all are Ready.
    ///
    /// The first one goes ahead alone, so a constructor that raises runs once.
    /// - Throws: what the first that failed said; then all are stopped.
    func start(_ count: Int, progress: (String) -> Void) async throws(ConstructorFailure) {
        progress("starting")
        do throws(ConstructorFailure) {
            try await ready(add(1))
            if count > 1 {
                progress("starting \(count - 1) more replica\(count == 2 ? "" : "s")")
                try await ready(add(count - 1))
            }
            guard !isStopped else { throw ConstructorFailure(summary: "the deploy was given up", traceback: "") }
        } catch {
            stop()
            await waitUntilEnded()
            throw error
        }
    }

    private func ready(_ replicas: [Replica]) async throws(ConstructorFailure) {
        for replica in replicas {
            guard let outcome = await replica.firstOutcome.value() else {
                throw ConstructorFailure(summary: "the deploy was given up", traceback: "")
            }
            try outcome.get()
        }
    }

    /// Adds replicas and starts them.
    @discardableResult
    func add(_ count: Int) -> [Replica] {
        state.withLock { $0.wanted += count }
        return fill()
    }

    /// Starts as many replicas as are missing.
    ///
    /// - Parameter pause: how long to wait before they are started.
    @discardableResult
    private func fill(after pause: Duration = .zero) -> [Replica] {
        let added = state.withLock { state -> [Replica] in
            guard !state.isStopped, state.failure == nil else { return [] }
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
        for replica in added {
            context.tasks.add { [self] in
                await replica.supervise(after: pause) { how, hadAnswered, isElsewhere in
                    // Its owner looks after it; here the next task is waited for.
                    if plan.isShared { return .zero }
                    return isElsewhere ? Self.elsewherePause : died(how: how, hadAnswered: hadAnswered)
                } stuck: { [self] hadAnswered in
                    replaceStuck(hadAnswered: hadAnswered)
                }
                removeEnded(replica)
            }
        }
        context.changes.announce()
        return added
    }

    /// The devices of a replica, if it needs any and they are free; else it waits for them.
    private func takeDevices(_ number: Int) -> GPULease? {
        guard let request = plan.gpus else { return nil }
        return context.gpus.take(request, for: plan.holder(number))
    }

    /// Its replicas get calls from now on, and are started again when they die.
    func activate() {
        let replicas = state.withLock { state in
            state.isActive = true
            return state.replicas
        }
        for replica in replicas { replica.activate() }
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
        state.withLock { state in
            guard state.failure == nil else { return }
            state.replicas.removeAll { $0 === replica }
        }
        context.changes.announce()
    }

    /// A replica is stuck: another one takes its place, at once unless it had never answered. The old one ends by itself.
    private func replaceStuck(hadAnswered: Bool) {
        guard !plan.isShared else { return _ = fill() }
        if let pause = died(how: "a call went on beyond its deadline", hadAnswered: hadAnswered) { fill(after: pause) }
    }

    /// A process ended that should not have.
    ///
    /// - Returns: the pause before the next start; nil when the function is given up.
    private func died(how: String, hadAnswered: Bool) -> Duration? {
        let now = Duration.nanoseconds(MonotonicTime.now.nanoseconds)
        let (pause, failure) = state.withLock { state -> (Duration?, String?) in
            if state.failure != nil { return (nil, nil) }
            if hadAnswered { state.policy.answered() }
            let chance = Double.random(in: 0..<1)
            switch state.policy.died(hadAnswered: hadAnswered, now: now, chance: chance) {
            case .restart(let after): return (after, nil)
            case .giveUp(let deaths, let window):
                let failure = "\(deaths) deaths within \(Int(window.inSeconds)) s, the last: \(how)"
                state.failure = failure
                return (nil, failure)
            }
        }
        if let failure {
            log.append(text: "dcf: given up: \(failure)", replica: 0, stream: .gateway)
            context.logger.error("\(plan.name): given up: \(failure)")
            route.fail(reason: failure)
            stop()
        }
        return pause
    }
}
