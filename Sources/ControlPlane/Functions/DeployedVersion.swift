internal import Calls
internal import FunctionConfig
internal import Platform

/// A kept version of a deployed function: its route, and its replicas while it runs. Safe to use from any thread.
final class DeployedVersion: Sendable {
    private struct State {
        var record: VersionRecord
        var plan: FunctionPlan?
        /// The replicas, while the version runs.
        var replicaSet: ReplicaSet?
        var policy: ScalePolicy?
        /// Why the version is Failed, if it is.
        var problem: String?
        var isStarting = false
        /// Ends the wait before the next try to start.
        var wakeup: Promise<Void>?
        /// Whether the version is not started, so that its calls wait: a new version is taking its calls over.
        var isHeld = false
        var isRemoved = false
        /// While the version is idle: keeps the template for its next start.
        var template: TemplateReference?
        /// How many calls had come when they were last counted.
        var calls: UInt64 = 0
    }

    let number: Int
    let settings: VersionSettings
    /// What is wrong with its row in the registry or with its files. Nil if nothing is wrong. A damaged version cannot
    /// be started.
    let damage: String?
    let route: FunctionRoute
    /// The pauses between the starts of its replicas.
    let backoff: Backoff
    private let state: Lock<State>

    init(
        _ record: VersionRecord, settings: VersionSettings, routing: RouteContext, restarts: RestartPolicy,
        damage: String? = nil
    ) {
        number = record.version
        self.settings = settings
        self.damage = damage
        backoff = Backoff(restarts)
        route = FunctionRoute(
            name: record.name, version: record.version, settings: settings.route, context: routing)
        state = Lock(State(record: record), .deployedVersion)
        route.setReplicasMax(record.replicas.max)
        route.explain { [weak self] in self?.whyUnserved }
    }

    // MARK: State

    var record: VersionRecord { state.withLock { $0.record } }
    var plan: FunctionPlan? { state.withLock { $0.plan } }
    /// The replicas, while the version runs.
    var replicaSet: ReplicaSet? { state.withLock { $0.replicaSet } }
    /// Why the version is Failed, if it is.
    var problem: String? { state.withLock { $0.problem } }
    var isRemoved: Bool { state.withLock { $0.isRemoved } }

    /// The state of its replicas, for lists.
    var replicas: [ReplicaState] { replicaSet?.shown ?? [] }

    /// How many replicas the version should have now.
    var wanted: Int {
        let (record, set) = state.withLock { ($0.record, $0.replicaSet) }
        guard record.replicas.min != record.replicas.max || record.traffic == 0 else { return record.replicas.min }
        return max(set?.living ?? 0, record.traffic == 0 ? 0 : record.replicas.min)
    }

    var status: FunctionStatus {
        let (record, set, problem, isStarting) = state.withLock {
            ($0.record, $0.replicaSet, $0.problem, $0.isStarting)
        }
        if problem != nil { return .failed }
        let min = record.traffic == 0 ? 0 : record.replicas.min
        if set == nil, !isStarting, min == 0 { return .idle }
        return FunctionStatus(
            replicas: set?.shown ?? [], wanted: max(min, 1), hasFailed: set == nil && backoff.current != nil)
    }

    /// Why the version does not work as it should, and when the next try is. Empty if there is nothing to say.
    var reason: String {
        let (problem, set) = state.withLock { ($0.problem, $0.replicaSet) }
        if let problem { return problem }
        guard let set else { return unstarted?.explanation ?? "" }
        return set.shown.filter { $0.phase != .stopping }.map(\.explanation).first { !$0.isEmpty } ?? ""
    }

    /// The reason for a caller whose call found no replica until its deadline.
    private var whyUnserved: String? {
        guard let replica = replicaSet?.shown.first(where: { $0.phase != .stopping && !$0.explanation.isEmpty }) else {
            return unstarted?.explanation
        }
        return replica.wait.map { "its replica \($0)" } ?? replica.explanation
    }

    /// Why a version without replicas cannot be started yet, shown as the state of a replica. Nil if no wait is under
    /// way.
    private var unstarted: ReplicaState? {
        guard let (pause, reason) = backoff.current else { return nil }
        var state = ReplicaState(number: 0, phase: .waiting)
        state.reason = reason
        state.nextTry = MonotonicTime.now.advanced(by: pause)
        return state
    }

    /// How many calls came since the last call of this function.
    func takeEndedCalls() -> UInt64 {
        let count = route.takeEndedCalls()
        state.withLock { $0.calls += count }
        return count
    }

    // MARK: Changes

    /// Updates the version to the record that was written.
    func update(record: VersionRecord) {
        let template = state.withLock { state in
            if state.record.replicas != record.replicas || state.record.traffic != record.traffic { state.policy = nil }
            state.record = record
            route.setReplicasMax(record.replicas.max)
            return record.traffic == 0 ? state.template.take() : nil
        }
        // Not under the lock, here and below: this may end the template.
        withExtendedLifetime(template) {}
    }

    /// Installs the plan from which replicas are started.
    func install(_ plan: FunctionPlan) {
        state.withLock { $0.plan = plan }
    }

    /// Makes `set` the replicas of this version.
    ///
    /// - Returns: the replicas before.
    func adopt(_ set: ReplicaSet) -> ReplicaSet? {
        backoff.clear()
        defer { wake() }
        let (before, template) = state.withLock { state in
            state.problem = nil
            state.policy = nil
            state.isHeld = false
            defer { state.replicaSet = set }
            return (state.replicaSet, state.template.take())
        }
        withExtendedLifetime(template) {}
        return before
    }

    /// Takes the replicas away.
    ///
    /// - Returns: the replicas that it had. The caller stops them.
    func release() -> ReplicaSet? {
        state.withLock { state in
            state.policy = nil
            defer { state.replicaSet = nil }
            return state.replicaSet
        }
    }

    /// Takes the replicas of an idle version away. If the version still gets calls, its template is kept for the next
    /// start.
    ///
    /// - Returns: the replicas that it had. The caller stops them.
    func releaseIdle() -> ReplicaSet? {
        let template = replicaSet?.template
        let before = state.withLock { state in
            guard state.record.traffic > 0, !state.isRemoved else { return TemplateReference?.none }
            defer { state.template = template }
            return state.template
        }
        withExtendedLifetime(before) {}
        return release()
    }

    /// Takes the replicas away, and starts none until the version gets new replicas or `unhold` is called. Calls wait
    /// meanwhile.
    ///
    /// - Returns: the replicas that it had. The caller stops them.
    func hold() -> ReplicaSet? {
        state.withLock { $0.isHeld = true }
        wake()
        return release()
    }

    func unhold() {
        state.withLock { $0.isHeld = false }
    }

    /// Clears the failure, if there was one, and the pause before the next start. The next call tries to start the
    /// version.
    ///
    /// - Returns: the replicas that it had. The caller stops them.
    func clearFailure() -> ReplicaSet? {
        state.withLock { $0.problem = nil }
        backoff.clear()
        wake()
        route.reopen()
        return release()
    }

    /// Marks the version as no longer kept.
    func remove() {
        let template = state.withLock { state in
            state.isRemoved = true
            return state.template.take()
        }
        withExtendedLifetime(template) {}
        wake()
    }

    /// Makes the version Failed and refuses its calls. It is not tried again until the failure is cleared.
    func fail(because reason: String) {
        state.withLock { $0.problem = reason }
        route.fail(reason: reason)
    }

    /// Whether the caller is to start the version now. If so, `endStart` must follow.
    func beginStart() -> Bool {
        state.withLock { state in
            guard state.replicaSet == nil, !state.isHeld, !state.isRemoved, !state.isStarting, state.problem == nil
            else {
                return false
            }
            state.isStarting = true
            return true
        }
    }

    /// Ends a start that `beginStart` has begun.
    ///
    /// - Parameter set: the new replicas. Nil if the version could not be started. They are not taken if the version
    ///   was held or removed in the meantime.
    /// - Returns: whether the replicas were taken.
    func endStart(_ set: ReplicaSet?) -> Bool {
        let (isTaken, template) = state.withLock { state in
            state.isStarting = false
            guard let set, state.replicaSet == nil, !state.isHeld, !state.isRemoved else {
                return (false, TemplateReference?.none)
            }
            state.replicaSet = set
            state.policy = nil
            return (true, state.template.take())
        }
        withExtendedLifetime(template) {}
        return isTaken
    }

    /// Waits as long as `backoff` says, or until `wake` is called.
    func waitForNextTry() async {
        guard let pause = backoff.current?.pause else { return }
        let wakeup = Promise<Void>()
        state.withLock { $0.wakeup = wakeup }
        _ = await wakeup.value(within: pause)
        state.withLock { $0.wakeup = nil }
    }

    /// Ends the wait of `waitForNextTry`.
    func wake() {
        let wakeup = state.withLock { $0.wakeup }
        wakeup?.settle(())
    }

    /// Whether a start that has begun is still wanted.
    var wantsStart: Bool {
        let isFree = state.withLock { state in
            state.replicaSet == nil && !state.isHeld && !state.isRemoved && state.problem == nil
        }
        return isFree && shouldRun
    }

    /// Whether the version is to run: calls wait for it, or it has a minimum of replicas.
    var shouldRun: Bool {
        let record = record
        return route.load.waiting > 0 || (record.traffic > 0 && record.replicas.min > 0)
    }

    // MARK: Scaling

    /// How many replicas the load asks for. If the number of replicas is fixed, there is nothing to decide.
    ///
    /// - Parameter window: the limit `scaleDownWindow` of the gateway.
    func decide(at now: Duration, window: Duration) -> ScalePolicy.Decision {
        let load = route.load
        let invocations = route.endedCalls
        return state.withLock { state in
            guard let set = state.replicaSet, !set.isStopped else { return .keep }
            let record = state.record
            var range = record.replicas
            if record.traffic == 0 { range.min = 0 }
            guard range.min != range.max else { return .keep }
            var policy =
                state.policy
                ?? ScalePolicy(
                    ScalePolicy.Settings(
                        replicas: range, capacity: settings.route.capacity, window: window, idle: settings.idle))
            defer { state.policy = policy }
            return policy.decide(
                ScalePolicy.Sample(
                    load: load.inFlight + load.waiting, calls: state.calls + invocations, replicas: set.living,
                    ready: load.replicas), at: now)
        }
    }
}
