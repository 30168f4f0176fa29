internal import FunctionConfig
internal import GRPC
internal import Locks

/// A kept version of a deployed function: the queue of its calls, and its replicas while it runs.
final class DeployedVersion: Sendable {
    private struct State {
        var record: VersionRecord
        var plan: FunctionPlan?
        var set: ReplicaSet?
        var policy: ScalePolicy?
        /// Why it is Failed, if it is.
        var problem: String?
        var isStarting = false
        /// Ends the wait for the next try to start it.
        var wakeup: Promise<Void>?
        /// Calls wait until a new version has taken over, or could not.
        var isHeld = false
        var isRemoved = false
        /// While it is idle: the template that its next start is to find there.
        var template: TemplateClaim?
        /// Calls that ever came, as of the last time they were counted.
        var calls: UInt64 = 0
    }

    let number: Int
    let settings: VersionSettings
    /// What is wrong with its row in the registry or its files, if something is: it cannot be started.
    let damage: String?
    let route: FunctionRoute
    /// When its replicas may be started again.
    let backoff = Backoff()
    private let state: Lock<State>

    init(_ record: VersionRecord, settings: VersionSettings, routing: RouteContext, damage: String? = nil) {
        number = record.version
        self.settings = settings
        self.damage = damage
        route = FunctionRoute(name: record.name, settings: settings.route, context: routing)
        state = Lock(State(record: record), .deployedVersion)
        route.mayHave(replicas: record.replicas.max)
        route.explain { [weak self] in self?.whyUnserved }
    }

    // MARK: What is known of it

    var record: VersionRecord { state.withLock { $0.record } }
    var plan: FunctionPlan? { state.withLock { $0.plan } }
    /// The replicas, while it runs.
    var set: ReplicaSet? { state.withLock { $0.set } }
    /// Why it is Failed, if it is.
    var problem: String? { state.withLock { $0.problem } }
    var isRemoved: Bool { state.withLock { $0.isRemoved } }

    /// What runs of it, as it is shown.
    var replicas: [ReplicaState] { self.set?.shown ?? [] }

    /// How many replicas are wanted at the moment.
    var wanted: Int {
        let (record, set) = state.withLock { ($0.record, $0.set) }
        guard record.replicas.min != record.replicas.max || record.traffic == 0 else { return record.replicas.min }
        return max(set?.living ?? 0, record.traffic == 0 ? 0 : record.replicas.min)
    }

    var status: FunctionStatus {
        let (record, set, problem, isStarting) = state.withLock { ($0.record, $0.set, $0.problem, $0.isStarting) }
        if problem != nil { return .failed }
        let min = record.traffic == 0 ? 0 : record.replicas.min
        if set == nil, !isStarting, min == 0 { return .idle }
        return FunctionStatus(
            replicas: set?.shown ?? [], wanted: max(min, 1), hasFailed: set == nil && backoff.current != nil)
    }

    /// Why it does not answer as it should, and when the next try is; empty where there is nothing to say.
    var reason: String {
        let (problem, set) = state.withLock { ($0.problem, $0.set) }
        if let problem { return problem }
        guard let set else { return unstarted?.explanation ?? "" }
        return set.shown.filter { $0.phase != .stopping }.map(\.explanation).first { !$0.isEmpty } ?? ""
    }

    /// The same, as it is told to a caller whose time was up while no replica was there.
    private var whyUnserved: String? {
        guard let replica = self.set?.shown.first(where: { $0.phase != .stopping && !$0.explanation.isEmpty }) else {
            return unstarted?.explanation
        }
        return replica.wait.map { "its replica \($0)" } ?? replica.explanation
    }

    /// What it waits for while it cannot be started, and so has no replicas.
    private var unstarted: ReplicaState? {
        guard let (pause, reason) = backoff.current else { return nil }
        var state = ReplicaState(number: 0, phase: .waiting)
        state.reason = reason
        state.nextTry = MonotonicTime.now.advanced(by: pause)
        return state
    }

    /// Calls since the last time this was asked.
    func takeInvocations() -> UInt64 {
        let count = route.takeInvocations()
        state.withLock { $0.calls += count }
        return count
    }

    // MARK: Its changes

    /// What was written of it.
    func become(_ record: VersionRecord) {
        let template = state.withLock { state in
            if state.record.replicas != record.replicas || state.record.traffic != record.traffic { state.policy = nil }
            state.record = record
            route.mayHave(replicas: record.replicas.max)
            return record.traffic == 0 ? state.template.take() : nil
        }
        // Here and below not under the lock: it may end the template.
        withExtendedLifetime(template) {}
    }

    /// Everything to start it is there.
    func become(_ plan: FunctionPlan) {
        state.withLock { $0.plan = plan }
    }

    /// Makes `set` its replicas.
    ///
    /// - Returns: the ones before.
    func become(_ set: ReplicaSet) -> ReplicaSet? {
        backoff.clear()
        defer { wake() }
        let (before, template) = state.withLock { state in
            state.problem = nil
            state.policy = nil
            state.isHeld = false
            defer { state.set = set }
            return (state.set, state.template.take())
        }
        withExtendedLifetime(template) {}
        return before
    }

    /// It has no replicas any more.
    ///
    /// - Returns: those that it had; they are still to be stopped.
    func release() -> ReplicaSet? {
        state.withLock { state in
            state.policy = nil
            defer { state.set = nil }
            return state.set
        }
    }

    /// The same of one that is idle: where calls may come at any time its template stays.
    func rest() -> ReplicaSet? {
        let template = self.set?.template
        let before = state.withLock { state in
            guard state.record.traffic > 0, !state.isRemoved else { return TemplateClaim?.none }
            defer { state.template = template }
            return state.template
        }
        withExtendedLifetime(before) {}
        return release()
    }

    /// The same, and none are started until it gets others, or `unhold`.
    func hold() -> ReplicaSet? {
        state.withLock { $0.isHeld = true }
        wake()
        return release()
    }

    func unhold() {
        state.withLock { $0.isHeld = false }
    }

    /// Whether it could be started or not: the next call tries it again.
    ///
    /// - Returns: replicas that it has; they are still to be stopped.
    func forgive() -> ReplicaSet? {
        state.withLock { $0.problem = nil }
        backoff.clear()
        wake()
        route.reopen()
        return release()
    }

    /// No longer kept.
    func remove() {
        let template = state.withLock { state in
            state.isRemoved = true
            return state.template.take()
        }
        withExtendedLifetime(template) {}
        wake()
    }

    /// Nothing but its author's work can help.
    func give(up reason: String) {
        state.withLock { $0.problem = reason }
        route.fail(reason: reason)
    }

    /// Whether it is to be started now, by whoever asked: `endStart` must follow.
    func beginStart() -> Bool {
        state.withLock { state in
            guard state.set == nil, !state.isHeld, !state.isRemoved, !state.isStarting, state.problem == nil else {
                return false
            }
            state.isStarting = true
            return true
        }
    }

    /// - Parameter set: its replicas; not taken where it is held or removed meanwhile.
    /// - Returns: whether it was taken.
    func endStart(_ set: ReplicaSet?) -> Bool {
        let (isTaken, template) = state.withLock { state in
            state.isStarting = false
            guard let set, state.set == nil, !state.isHeld, !state.isRemoved else {
                return (false, TemplateClaim?.none)
            }
            state.set = set
            state.policy = nil
            return (true, state.template.take())
        }
        withExtendedLifetime(template) {}
        return isTaken
    }

    /// Waits as long as `backoff` says, less where something happens meanwhile that makes a difference.
    func waitForNextTry() async {
        guard let pause = backoff.current?.pause else { return }
        let wakeup = Promise<Void>()
        state.withLock { $0.wakeup = wakeup }
        _ = await wakeup.value(within: pause)
        state.withLock { $0.wakeup = nil }
    }

    /// Ends that wait.
    func wake() {
        let wakeup = state.withLock { $0.wakeup }
        wakeup?.settle(())
    }

    /// Whether a start that has begun is still wanted.
    var wantsStart: Bool {
        let isFree = state.withLock { state in
            state.set == nil && !state.isHeld && !state.isRemoved && state.problem == nil
        }
        return isFree && shouldRun
    }

    /// Whether calls wait for it, or it is to run also without any.
    var shouldRun: Bool {
        let record = record
        return route.load.waiting > 0 || (record.traffic > 0 && record.replicas.min > 0)
    }

    // MARK: Its size

    /// How many replicas the load asks for. Where the number is fixed there is nothing to decide.
    ///
    /// - Parameter window: the gateway's limit.
    func decide(at now: Duration, window: Duration) -> ScalePolicy.Decision {
        let load = route.load
        let invocations = route.invocations
        return state.withLock { state in
            guard let set = state.set, !set.isStopped else { return .keep }
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
