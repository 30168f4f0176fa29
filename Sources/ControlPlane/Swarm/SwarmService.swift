internal import Engine
internal import FunctionConfig
internal import Link
internal import Logging
internal import Platform

/// The Swarm service of one version of a function. Any thread may use it.
///
/// It is made with its first slot and removed after its last. It has as many tasks as it has slots.
final class SwarmService: Sendable {
    private struct State {
        /// How many tasks the service should have, and how many the engine was asked for.
        var wanted = 0
        var applied = 0
        /// How many of the wanted tasks an earlier gateway process started, and no replica has claimed yet.
        var unclaimed = 0
        /// The version's share of the function's calls, for the other gateways of the group, and the share in the
        /// labels.
        var traffic = 0
        var appliedTraffic = 0
        /// Whether a task is asking the engine for the wanted state.
        var isApplying = false
        var isClosed = false
        /// The service's id; nil before the service is made.
        var id: String?
        var secrets: [String] = []
        /// Replicas without a task, in the order in which they came.
        var waiting: [SwarmTaskBackend] = []
        /// The replicas' numbers, by the id of their task. A task stays here after its end.
        var assigned: [String: Int] = [:]
        /// The replicas that run, by the id of their task.
        var running: [String: SwarmTaskBackend] = [:]
        /// How often a node has refused a task.
        var refusals = 0
        var refusal = ""
        /// Tasks that ended before they dialled, and that are accounted for.
        var accounted: Set<String> = []
        var tasks: [SwarmTask] = []
        /// When each running task that has not dialled was first seen to run.
        var silent: [String: ContinuousClock.Instant] = [:]
        /// Tasks and refusals that are in the log.
        var reported: Set<String> = []

        /// Whether the engine has been asked for the wanted state.
        var isApplied: Bool { wanted == applied && traffic == appliedTraffic && id != nil }
    }

    private static let refusalsMax = 3
    private static let retry = Duration.seconds(2)
    /// A task that has run for this time without dialling cannot reach the gateway.
    private static let silence = Duration.seconds(10)

    let plan: FunctionPlan
    let source: ImageSource
    let host: SwarmHost
    let log: FunctionLog
    /// The token of all tasks of the service.
    let token: LinkToken
    /// Whether another gateway owns the service. Only the owner makes, changes and removes it.
    var isShared: Bool { plan.isShared }
    private let groupLabels: [String: String]
    private let state: Lock<State>
    private let closed = Promise<Void>()

    /// - Parameter orphan: the service that an earlier process of this gateway made for the version.
    init(plan: FunctionPlan, source: ImageSource, host: SwarmHost, log: FunctionLog, orphan: SharedService? = nil) {
        self.plan = plan
        self.source = source
        self.host = host
        self.log = log
        let existing = plan.shared ?? orphan
        var state = State()
        state.traffic = plan.record.traffic
        if let existing {
            (token, groupLabels) = (existing.token, plan.isShared ? [:] : existing.groupLabels)
            (state.id, state.wanted, state.applied) = (existing.id, existing.tasks, existing.tasks)
            (state.unclaimed, state.appliedTraffic) = (existing.tasks, existing.record.traffic)
            state.secrets = plan.isShared ? [] : existing.secrets
        } else {
            (token, groupLabels) = host.makeToken(for: plan)
        }
        self.state = Lock(state)
    }

    /// Follows the output of a service that exists already. Call it once, after the initialiser.
    func followExisting() {
        if let id { host.tasks.add { [self] in await followLog(id) } }
    }

    /// The service's id; nil before the service is made.
    var id: String? { state.withLock { $0.id } }
    var hasWaiting: Bool { state.withLock { !$0.waiting.isEmpty } }

    // MARK: Replicas

    /// Adds a replica that waits for a task. The next task that dials carries the replica that has waited longest.
    func enqueue(_ backend: SwarmTaskBackend) {
        state.withLock { $0.waiting.append(backend) }
        applyWanted()
        host.lookSoon()
    }

    /// Removes a replica that has ended.
    func remove(_ backend: SwarmTaskBackend) {
        state.withLock { state in
            state.waiting.removeAll { $0 === backend }
            state.running = state.running.filter { $0.value !== backend }
        }
    }

    /// Notes that a task has dialled and carries the replica.
    func assign(_ task: String, to backend: SwarmTaskBackend) {
        state.withLock { state in
            state.waiting.removeAll { $0 === backend }
            state.assigned[task] = backend.number
            state.running[task] = backend
            state.silent[task] = nil
        }
    }

    /// Why no task has dialled, in words for the user.
    var waitReason: String {
        let (open, refusal) = state.withLock { state in
            (state.tasks.filter { state.assigned[$0.id] == nil && !$0.isUnwanted }, state.refusal)
        }
        if let task = open.first(where: { !$0.message.isEmpty }) { return task.message }
        if let task = open.first(where: { $0.state == "running" }) { return Self.unreached(task, host) }
        if !refusal.isEmpty { return refusal }
        if let task = open.first { return "a task is \(task.state)" }
        return "the Swarm has no task for it"
    }

    private static func unreached(_ task: SwarmTask, _ host: SwarmHost) -> String {
        "task \(task.id.prefix(12)) runs on node \(host.nodeName(task.node)) and has not reached \(host.link); between the "
            + "nodes UDP 4789, TCP and UDP 7946 and IP protocol 50 must be open, and so must be that address; an encrypted "
            + "overlay needs IPsec (esp4, gcm) in every node's kernel, else --overlay-plaintext"
    }

    // MARK: Size

    /// Starts to change the number of tasks by `change`. It is a difference because replicas come and go concurrently.
    func resize(by change: Int) {
        state.withLock { state in
            if change > 0, state.unclaimed > 0 { state.unclaimed -= 1 } else { state.wanted += change }
        }
        applyWanted()
    }

    /// Gives up the tasks of an earlier gateway process that no replica has claimed.
    func dropUnclaimed() {
        state.withLock { state in
            state.wanted -= state.unclaimed
            state.unclaimed = 0
        }
        applyWanted()
    }

    /// Changes the version's share of the function's calls.
    func setTraffic(_ weight: Int) {
        state.withLock { $0.traffic = weight }
        applyWanted()
    }

    /// Starts to ask the engine for the wanted state, unless that is under way or not needed.
    private func applyWanted() {
        guard !isShared else { return }
        let begins = state.withLock { state in
            guard !state.isApplying, !state.isClosed, !state.isApplied else { return false }
            state.isApplying = true
            return true
        }
        if begins { host.tasks.add { [self] in await applyUntilDone() } }
    }

    /// Returns when the engine has been asked for the wanted state, or has refused to make the service.
    private func applyUntilDone() async {
        while true {
            let (count, traffic, id) = state.withLock { state -> (Int?, Int, String?) in
                if state.isClosed || state.isApplied {
                    state.isApplying = false
                    return (nil, 0, nil)
                }
                return (state.wanted, state.traffic, state.id)
            }
            guard let count else { return }
            do throws(EngineError) {
                if let id { try await update(id, count, traffic) } else { try await make(count, traffic) }
                state.withLock { ($0.applied, $0.appliedTraffic) = (count, traffic) }
                host.lookSoon()
            } catch {
                guard await mayRetry(after: error, isMade: id != nil) else { return }
            }
        }
    }

    /// Handles an engine's error. A new service is given up; for an existing one, it pauses before the next attempt.
    private func mayRetry(after error: EngineError, isMade: Bool) async -> Bool {
        guard isMade else {
            let waiting = state.withLock { state in
                state.isApplying = false
                return state.waiting
            }
            for backend in waiting { backend.fail("\(error)") }
            return false
        }
        host.logger.warning("\(plan.name): \(error)")
        if error.kind == .notFound {
            state.withLock { state in
                state.id = nil
                state.applied = 0
            }
        }
        do { try await Task.sleep(for: Self.retry) } catch { return false }
        return true
    }

    private func update(_ id: String, _ count: Int, _ traffic: Int) async throws(EngineError) {
        try await host.engine.updateService(
            id, replicas: count, labels: labels(traffic), credentials: host.credentials(for: source.name))
    }

    private func labels(_ traffic: Int) -> [String: String] {
        groupLabels.isEmpty ? [:] : groupLabels.merging(SharedService.label(ofTraffic: traffic)) { $1 }
    }

    private func make(_ count: Int, _ traffic: Int) async throws(EngineError) {
        var made: [ServiceSpec.Secret] = []
        do throws(EngineError) {
            var spec = try host.spec(plan, source)
            spec.replicas = count
            spec.labels.merge(labels(traffic)) { $1 }
            try await host.makeSecrets(of: spec, plan, token) { made.append($0) }
            spec.secrets = made
            let id = try await host.make(spec, image: source.name)
            let isClosed = state.withLock { state in
                state.id = id
                state.secrets = made.map(\.id)
                return state.isClosed
            }
            if isClosed {
                await remove()
            } else {
                host.tasks.add { [self] in await followLog(id) }
            }
        } catch {
            host.discard(secrets: made.map(\.id))
            throw error
        }
    }

    /// Ends the use of the service: it has no slots any more.
    ///
    /// - Parameters:
    ///   - staying: whether the service goes on without this gateway. Otherwise it is removed.
    ///   - then: called before `waitUntilClosed` returns to its callers.
    func close(staying: Bool, then: () -> Void) async {
        state.withLock { $0.isClosed = true }
        if !staying { await remove() }
        then()
        closed.settle(())
    }

    /// Returns when `close` is done.
    func waitUntilClosed() async {
        _ = await closed.value()
    }

    private func remove() async {
        let (id, secrets) = state.withLock { state in
            defer { (state.id, state.secrets) = (nil, []) }
            return (state.id, state.secrets)
        }
        guard let id, !isShared else { return }
        await host.remove(service: id, of: plan)
        host.discard(secrets: secrets)
    }

    // MARK: Tasks

    /// Evaluates the engine's report of all tasks. Tasks of other services are ignored.
    ///
    /// - Parameter down: the nodes that are down.
    func look(_ all: [SwarmTask], down: Set<String> = []) {
        let now = ContinuousClock.now
        let (dead, silent) = state.withLock { state -> ([SwarmTask], [SwarmTask]) in
            guard let id = state.id else { return ([], []) }
            state.tasks = all.filter { $0.service == id }
            let ids = Set(state.tasks.map(\.id))
            state.accounted.formIntersection(ids)
            state.silent = state.silent.filter { ids.contains($0.key) }
            let dead = state.tasks.filter { task in
                ["failed", "rejected", "complete"].contains(task.state) && state.assigned[task.id] == nil
                    && state.accounted.insert(task.id).inserted
            }
            var silent: [SwarmTask] = []
            for task in state.tasks where state.assigned[task.id] == nil && task.state == "running" && !task.isUnwanted
            {
                let since = state.silent[task.id] ?? now
                state.silent[task.id] = since
                if now - since > Self.silence, state.reported.insert(task.id).inserted { silent.append(task) }
            }
            return (dead, silent)
        }
        let lost = state.withLock { state in
            down.isEmpty ? [] : state.tasks.compactMap { down.contains($0.node) ? state.running[$0.id] : nil }
        }
        for backend in lost { backend.nodeIsDown() }
        // Only the owner handles tasks that have not dialled.
        guard !isShared else { return }
        for task in silent { note(Self.unreached(task, host)) }
        for task in dead { account(for: task) }
    }

    /// Accounts for a task that ended before it dialled: logs a refusal, and ends the run of the replica that waits
    /// longest if the end is final.
    private func account(for task: SwarmTask) {
        if task.state == "rejected" {
            let reason = TaskEnd.refusal(task, image: source.reference, node: host.nodeName(task.node))
            let (backend, isNew) = state.withLock { state in
                // A Swarm places a task with devices again whenever its node changes, even when this task changed the
                // node.
                if !EngineMessage.constraintsNotMet.isSaid(in: task.message) { state.refusals += 1 }
                state.refusal = reason
                let isFinal = EngineMessage.noImage.isSaid(in: task.message) || state.refusals >= Self.refusalsMax
                // A refusal is final only if no task of the service has run before. Otherwise the Swarm tries again: on
                // another node, or on this one, which may have just come back.
                let backend = state.assigned.isEmpty && isFinal ? state.waiting.first : nil
                return (backend, state.reported.insert(reason).inserted)
            }
            if isNew { note(reason) }
            backend?.fail(reason)
        } else {
            let backend = state.withLock { $0.waiting.first }
            backend?.ended(TaskEnd.exit(task, memory: plan.config.limits.memory))
        }
    }

    private func note(_ text: String) {
        log.append(text: "dcf: \(text)", replica: 0, stream: .gateway)
        host.logger.warning("\(plan.name): \(text)")
    }

    // MARK: Log

    private func followLog(_ id: String) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [self] in
                let writer = SwarmLogWriter(log)
                var since = Double(LogTime.now()) / 1_000
                while !Task.isCancelled {
                    let begun = Double(LogTime.now()) / 1_000
                    try? await host.engine.followService(id, since: since) { [self] line in
                        writer.write(line, replica: state.withLock { $0.assigned[line.task] })
                        since = max(since, Double(LogTime.now()) / 1_000)
                    }
                    since = max(since, begun)
                    do { try await Task.sleep(for: Self.retry) } catch { return }
                }
            }
            _ = await closed.value()
            group.cancelAll()
        }
    }
}

/// Writes the output of a service's tasks to the function's log. Any thread may use it.
private final class SwarmLogWriter: Sendable {
    private struct Key: Hashable {
        var task: String
        var isError: Bool
    }

    private let log: FunctionLog
    private let readers = Lock<[Key: LogLineReader]>([:])

    init(_ log: FunctionLog) {
        self.log = log
    }

    /// - Parameter replica: the number of the task's replica; nil when the task has not dialled.
    func write(_ line: SwarmLogLine, replica: Int?) {
        let isError = line.output == .standardError
        let key = Key(task: line.task, isError: isError)
        let prefix = replica == nil ? Array("task \(line.task.prefix(12)): ".utf8) : []
        var found: [LogLineReader.Line] = []
        readers.withLock { readers in
            var reader = readers[key] ?? LogLineReader(lineBytes: FunctionLogLimits().lineBytes)
            line.text.withUnsafeBytes { reader.add($0) { found.append($0) } }
            // A reader without an unfinished line need not be kept.
            readers[key] = line.text.last == 0x0A ? nil : reader
        }
        for each in found {
            log.append(
                prefix + each.text, replica: replica ?? 0, stream: isError ? .stderr : .stdout,
                requestID: each.requestID, fullBytes: each.fullBytes)
        }
    }
}
