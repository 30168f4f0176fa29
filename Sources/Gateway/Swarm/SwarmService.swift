internal import Engine
internal import Environments
internal import FunctionConfig
internal import Locks
internal import Logging

/// The service of one version of a function: made with its first seat, as large as there are seats, removed after the last.
final class SwarmService: Sendable {
    private struct State {
        /// How many tasks there are to be, and how many the engine was told.
        var wanted = 0
        var told = 0
        /// Of those wanted: tasks of an earlier life, until there are replicas for them.
        var unclaimed = 0
        /// Its share of the function's calls, for the others of the group, and the one that is in its labels.
        var traffic = 0
        var toldTraffic = 0
        var isSettling = false
        var isClosed = false
        /// Nil before it is made.
        var id: String?
        var secrets: [String] = []
        /// Replicas without a task, the first that waited first.
        var waiting: [SwarmBody] = []
        /// Replicas of tasks that have dialled.
        var taken: [String: Int] = [:]
        /// Those of them whose link has not been given up.
        var living: [String: SwarmBody] = [:]
        /// How often a task was refused by its node.
        var refusals = 0
        var refusal = ""
        /// Tasks that ended without having dialled, told to a replica.
        var accounted: Set<String> = []
        var tasks: [SwarmTask] = []
        /// Since when the tasks that run and have not dialled were seen to run.
        var silent: [String: ContinuousClock.Instant] = [:]
        var said: Set<String> = []

        /// Whether the engine knows what it is to be like.
        var isTold: Bool { wanted == told && traffic == toldTraffic && id != nil }
    }

    private static let refusalsMax = 3
    private static let retry = Duration.seconds(2)
    /// A task that runs for so long and has not dialled has no way to the gateway.
    private static let silence = Duration.seconds(10)

    let plan: FunctionPlan
    let source: ImageSource
    let host: SwarmHost
    let log: FunctionLog
    /// Of all its tasks.
    let token: LinkToken
    /// Whether it is another gateway's, which alone makes, changes and removes it.
    var isShared: Bool { plan.isShared }
    private let groupLabels: [String: String]
    private let state: Lock<State>
    private let closed = Promise<Void>()

    /// - Parameter left: where an earlier life of this gateway has made it.
    init(plan: FunctionPlan, source: ImageSource, host: SwarmHost, log: FunctionLog, left: SharedService? = nil) {
        self.plan = plan
        self.source = source
        self.host = host
        self.log = log
        let there = plan.shared ?? left
        var state = State()
        state.traffic = plan.record.traffic
        if let there {
            (token, groupLabels) = (there.token, plan.isShared ? [:] : there.groupLabels)
            (state.id, state.wanted, state.told) = (there.id, there.tasks, there.tasks)
            (state.unclaimed, state.toldTraffic) = (there.tasks, there.record.traffic)
            state.secrets = plan.isShared ? [] : there.secrets
        } else {
            (token, groupLabels) = host.makeToken(for: plan)
        }
        self.state = Lock(state)
    }

    /// After it is made, once: reads the log of one that an earlier life has made.
    func begin() {
        if let id { host.tasks.add { [self] in await followLog(id) } }
    }

    /// Nil before it is made.
    var id: String? { state.withLock { $0.id } }
    var hasWaiting: Bool { state.withLock { !$0.waiting.isEmpty } }

    // MARK: Replicas

    /// From now on this replica takes a task that dials.
    func wait(_ body: SwarmBody) {
        state.withLock { $0.waiting.append(body) }
        settle()
        host.wake()
    }

    func forget(_ body: SwarmBody) {
        state.withLock { state in
            state.waiting.removeAll { $0 === body }
            state.living = state.living.filter { $0.value !== body }
        }
    }

    func took(_ task: String, _ body: SwarmBody) {
        state.withLock { state in
            state.waiting.removeAll { $0 === body }
            state.taken[task] = body.number
            state.living[task] = body
            state.silent[task] = nil
        }
    }

    /// What is known of the tasks that have not dialled, for people.
    var standing: String {
        let (open, refusal) = state.withLock { state in
            (state.tasks.filter { state.taken[$0.id] == nil && !$0.isUnwanted }, state.refusal)
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

    /// Changes the number of tasks, soon. By how many, not to how many: replicas come and go side by side.
    func resize(by change: Int) {
        state.withLock { state in
            if change > 0, state.unclaimed > 0 { state.unclaimed -= 1 } else { state.wanted += change }
        }
        settle()
    }

    /// Who wanted them is not coming.
    func releaseUnclaimed() {
        state.withLock { state in
            state.wanted -= state.unclaimed
            state.unclaimed = 0
        }
        settle()
    }

    /// Its share of the function's calls is another.
    func setTraffic(_ weight: Int) {
        state.withLock { $0.traffic = weight }
        settle()
    }

    private func settle() {
        guard !isShared else { return }
        let begins = state.withLock { state in
            guard !state.isSettling, !state.isClosed, !state.isTold else { return false }
            state.isSettling = true
            return true
        }
        if begins { host.tasks.add { [self] in await work() } }
    }

    /// Until the engine was told the last number, or would not make the service.
    private func work() async {
        while true {
            let (count, traffic, id) = state.withLock { state -> (Int?, Int, String?) in
                if state.isClosed || state.isTold {
                    state.isSettling = false
                    return (nil, 0, nil)
                }
                return (state.wanted, state.traffic, state.id)
            }
            guard let count else { return }
            do throws(EngineError) {
                if let id { try await update(id, count, traffic) } else { try await make(count, traffic) }
                state.withLock { ($0.told, $0.toldTraffic) = (count, traffic) }
                host.wake()
            } catch {
                guard await goOn(after: error, isMade: id != nil) else { return }
            }
        }
    }

    /// An engine that cannot be asked is not a service that is gone.
    private func goOn(after error: EngineError, isMade: Bool) async -> Bool {
        guard isMade else {
            let waiting = state.withLock { state in
                state.isSettling = false
                return state.waiting
            }
            for body in waiting { body.fail("\(error)") }
            return false
        }
        host.logger.warning("\(plan.name): \(error)")
        if error.kind == .notFound {
            state.withLock { state in
                state.id = nil
                state.told = 0
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

    /// Removes it: no seat is left.
    ///
    /// - Parameters:
    ///   - staying: it goes on without this gateway.
    ///   - then: called before those who wait for it.
    func close(staying: Bool, then: () -> Void) async {
        state.withLock { $0.isClosed = true }
        if !staying { await remove() }
        then()
        closed.settle(())
    }

    /// Returns when it is gone.
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

    /// What the engine told of all tasks; those of others are passed over.
    ///
    /// - Parameter down: the nodes that are lost.
    func look(_ all: [SwarmTask], down: Set<String> = []) {
        let now = ContinuousClock.now
        let (dead, silent) = state.withLock { state -> ([SwarmTask], [SwarmTask]) in
            guard let id = state.id else { return ([], []) }
            state.tasks = all.filter { $0.service == id }
            let ids = Set(state.tasks.map(\.id))
            state.accounted.formIntersection(ids)
            state.silent = state.silent.filter { ids.contains($0.key) }
            let dead = state.tasks.filter { task in
                ["failed", "rejected", "complete"].contains(task.state) && state.taken[task.id] == nil
                    && state.accounted.insert(task.id).inserted
            }
            var silent: [SwarmTask] = []
            for task in state.tasks where state.taken[task.id] == nil && task.state == "running" && !task.isUnwanted {
                let since = state.silent[task.id] ?? now
                state.silent[task.id] = since
                if now - since > Self.silence, state.said.insert(task.id).inserted { silent.append(task) }
            }
            return (dead, silent)
        }
        let lost = state.withLock { state in
            down.isEmpty ? [] : state.tasks.compactMap { down.contains($0.node) ? state.living[$0.id] : nil }
        }
        for body in lost { body.isLost() }
        // What has not dialled is its owner's matter.
        guard !isShared else { return }
        for task in silent { note(Self.unreached(task, host)) }
        for task in dead { bury(task) }
    }

    /// A task ended that no replica has had.
    private func bury(_ task: SwarmTask) {
        if task.state == "rejected" {
            let reason = TaskEnd.refusal(task, image: source.reference, node: host.nodeName(task.node))
            let (body, isNew) = state.withLock { state in
                // A Swarm places a task with devices anew whenever its node changes, be it by this very task.
                if !task.message.contains("no longer meets constraints") { state.refusals += 1 }
                state.refusal = reason
                let isFinal = task.message.contains("No such image") || state.refusals >= Self.refusalsMax
                // The Swarm tries again, maybe elsewhere: one that has run before, and a node that is just back.
                let body = state.taken.isEmpty && isFinal ? state.waiting.first : nil
                return (body, state.said.insert(reason).inserted)
            }
            if isNew { note(reason) }
            body?.fail(reason)
        } else {
            let body = state.withLock { $0.waiting.first }
            body?.ended(TaskEnd.exit(task, memory: plan.config.limits.memory))
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
                        writer.write(line, replica: state.withLock { $0.taken[line.task] })
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
