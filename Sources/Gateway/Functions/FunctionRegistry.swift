internal import Environments
internal import FunctionConfig
internal import GRPC
internal import Logging

/// All deployed functions, and every change of them. A change is on the disk before it is acknowledged, and of one
/// function there is one change at a time.
actor FunctionRegistry {
    private let store: FunctionStore
    private let bundles: BundleStore
    private let planner: FunctionPlanner
    private let routes: RouteTable
    private let queuedBytes: QueuedBytes
    private let logs: LogFolder
    private let context: SupervisionContext
    private var functions: [String: DeployedFunction] = [:]
    /// Names of functions that are being changed.
    private var busy: Set<String> = []
    private var isDraining = false

    init(
        store: FunctionStore, bundles: BundleStore, planner: FunctionPlanner, routes: RouteTable,
        queuedBytes: QueuedBytes, logs: LogFolder, context: SupervisionContext
    ) {
        self.store = store
        self.bundles = bundles
        self.planner = planner
        self.routes = routes
        self.queuedBytes = queuedBytes
        self.logs = logs
        self.context = context
    }

    // MARK: Looking

    var all: [DeployedFunction] { functions.values.sorted { $0.name < $1.name } }

    func function(named name: String) throws(FunctionError) -> DeployedFunction {
        guard let function = functions[name] else { throw .notDeployed(routes.unknown(name)) }
        return function
    }

    // MARK: Start and stop

    /// Puts the functions of the last time back to work. They become Ready in their own time.
    func restore() throws(RegistryError) {
        let records = try store.all()
        let kept = Set(records.map(\.bundle))
        let versions = Dictionary(uniqueKeysWithValues: records.map { ($0.name, $0.version) })
        do {
            try bundles.removeUnreferenced(keeping: kept)
            try bundles.removeUnreferencedFolders(keeping: versions)
        } catch {
            context.logger.warning("old bundles are not removed: \(error)")
        }
        for record in records {
            let function = makeFunction(record)
            functions[record.name] = function
            routes.insert(function.route)
            busy.insert(record.name)
            context.tasks.add { [self] in await restore(function, record) }
        }
    }

    private func restore(_ function: DeployedFunction, _ record: FunctionRecord) async {
        defer { busy.remove(record.name) }
        do throws(FunctionError) {
            let plan = try await planner.plan(record, unpacking: false) { progress in
                if case .output(let line) = progress {
                    function.log.append(text: "dcf: \(line)", replica: 0, stream: .gateway)
                }
            }
            guard !isDraining else { return }
            function.route.configure(callTimeout: plan.callTimeout, queueBound: plan.queueBound)
            let set = ReplicaSet(
                plan: plan, context: context, log: function.log, route: function.route, isActive: true)
            _ = function.become(record, set)
            set.add(record.replicas)
        } catch {
            context.logger.error("\(record.name) cannot be started: \(error.status.message)")
            function.give(up: error.status.message)
            context.changes.announce()
        }
    }

    /// No more changes.
    func beginDrain() {
        isDraining = true
    }

    /// Ends all replicas.
    func stopAll(within limit: Duration) async {
        let sets = functions.values.compactMap(\.set)
        for set in sets { set.stop(within: limit) }
        for set in sets { await set.waitUntilEnded() }
    }

    /// Writes how many calls came since the last time.
    func writeInvocations() {
        var counts: [String: UInt64] = [:]
        for (name, function) in functions {
            let count = function.route.takeInvocations()
            guard count > 0 else { continue }
            function.addInvocations(count)
            counts[name] = count
        }
        guard !counts.isEmpty else { return }
        do throws(RegistryError) {
            try store.addInvocations(counts)
        } catch {
            context.logger.warning("invocation counts are not written: \(error)")
        }
    }

    // MARK: Changing

    /// Deploys a function and returns when it is Ready and on the disk.
    func deploy(
        _ request: DeployRequest, progress: @escaping @Sendable (DeployProgress) -> Void
    ) async throws(FunctionError) -> DeployedFunction {
        let name = try Self.name(request.name)
        let existing = try begin(name.text)
        defer { busy.remove(name.text) }
        if existing == nil, request.mustExist { throw .notDeployed(routes.unknown(name.text)) }
        if existing != nil, request.ifExists == .refuse { throw .alreadyExists(name.text) }
        let record = try planner.record(for: request, name: name, after: existing?.record)
        do throws(FunctionError) {
            let plan = try await planner.plan(record, unpacking: true, progress: progress)
            if let existing, request.ifExists == .replace { await retire(existing) }
            return try await start(plan, existing: existing, progress: progress)
        } catch {
            discard(record, keeping: existing?.record)
            if let existing, request.ifExists == .replace { bringBack(existing) }
            throw error
        }
    }

    /// Removes a function. What its replicas have is finished; what waits is refused.
    func delete(_ name: String) async throws(FunctionError) {
        let function = try beginExisting(name)
        defer { busy.remove(name) }
        do throws(RegistryError) { try store.delete(name) } catch { throw .registry(error) }
        routes.remove(name)
        functions[name] = nil
        function.route.remove()
        context.changes.announce()
        function.set?.stop()
        await function.set?.waitUntilEnded()
        function.log.close()
        logs.remove(name)
        removeFiles(of: name, version: nil)
    }

    func scale(_ name: String, to count: UInt64) async throws(FunctionError) {
        guard (1...FunctionPlanner.replicasMax).contains(count) else {
            throw .badArgument(
                "\(count) replicas: 1 to \(FunctionPlanner.replicasMax) are possible; dcf function delete removes a function"
            )
        }
        let function = try beginExisting(name)
        defer { busy.remove(name) }
        do throws(RegistryError) { try store.setReplicas(name, Int(count)) } catch { throw .registry(error) }
        function.setReplicas(Int(count))
        if function.set?.failure == nil { function.set?.scale(to: Int(count)) }
        context.changes.announce()
    }

    /// Starts new replicas of the same version; also of a function that is Failed.
    func restart(_ name: String) async throws(FunctionError) {
        let function = try beginExisting(name)
        defer { busy.remove(name) }
        let plan = try await planner.plan(function.record, unpacking: false) { _ in }
        _ = try await start(plan, existing: function) { _ in }
    }

    /// Marks a function as being changed.
    private func begin(_ name: String) throws(FunctionError) -> DeployedFunction? {
        guard !isDraining else { throw .draining }
        guard busy.insert(name).inserted else { throw .busy(name) }
        return functions[name]
    }

    /// The same for one that must be there.
    private func beginExisting(_ name: String) throws(FunctionError) -> DeployedFunction {
        let function = try self.function(named: name)
        _ = try begin(name)
        return function
    }

    private static func name(_ text: String) throws(FunctionError) -> FunctionName {
        do throws(InvalidFunctionName) { return try FunctionName(text) } catch { throw .badName(error) }
    }

    private func makeFunction(_ record: FunctionRecord) -> DeployedFunction {
        DeployedFunction(
            record: record,
            route: FunctionRoute(
                name: record.name, callTimeout: context.limits.callTimeout, queueBound: context.limits.queue,
                queuedBytes: queuedBytes),
            log: logs.log(of: record.name))
    }

    /// Starts the plan's replicas beside those that are there, and when all are Ready lets them take over.
    private func start(
        _ plan: FunctionPlan, existing: DeployedFunction?, progress: @escaping @Sendable (DeployProgress) -> Void
    ) async throws(FunctionError) -> DeployedFunction {
        let function = existing ?? makeFunction(plan.record)
        let set = ReplicaSet(
            plan: plan, context: context, log: function.log, route: function.route, isActive: false)
        do throws(ConstructorFailure) {
            try await withTaskCancellation(of: set) { () async throws(ConstructorFailure) in
                try await set.start(plan.record.replicas) { progress(.step($0)) }
            }
        } catch {
            if existing == nil {
                function.log.close()
                logs.remove(plan.name)
            }
            if Task.isCancelled { throw .cancelled }
            if !error.traceback.isEmpty { progress(.traceback(error.traceback)) }
            throw .constructor(function: plan.name, error)
        }
        var record = plan.record
        if let existing { record.invocations = existing.record.invocations }
        do throws(RegistryError) {
            try store.save(record)
        } catch {
            set.stop()
            await set.waitUntilEnded()
            if existing == nil { function.log.close() }
            throw .registry(error)
        }
        function.route.configure(callTimeout: plan.callTimeout, queueBound: plan.queueBound)
        function.route.reopen()
        let before = function.become(record, set)
        set.activate()
        functions[plan.name] = function
        routes.insert(function.route)
        context.changes.announce()
        if let before { finish(before, unlessVersion: record.version) }
        return function
    }

    /// Lets a version that is no longer current finish what it has.
    private func finish(_ set: ReplicaSet, unlessVersion current: Int) {
        set.stop()
        let (name, version) = (set.plan.name, set.plan.record.version)
        context.tasks.add { [self] in
            await set.waitUntilEnded()
            if version != current { await removeFiles(of: name, version: version) }
        }
    }

    /// Takes the old version away before the new one starts. Calls wait meanwhile.
    private func retire(_ function: DeployedFunction) async {
        function.set?.stop()
        await function.set?.waitUntilEnded()
    }

    /// A replace whose new version does not start: the old one comes back.
    private func bringBack(_ function: DeployedFunction) {
        guard let old = function.set, old.isStopped else { return }
        let set = ReplicaSet(
            plan: old.plan, context: context, log: function.log, route: function.route, isActive: true)
        _ = function.become(function.record, set)
        set.add(function.record.replicas)
    }

    /// Removes what a deploy that failed has left.
    private func discard(_ record: FunctionRecord, keeping kept: FunctionRecord?) {
        removeFiles(of: record.name, version: kept == nil ? nil : record.version)
    }

    private func removeFiles(of name: String, version: Int?) {
        do {
            try bundles.removeFolder(of: name, version: version)
        } catch {
            context.logger.warning("files of \(name) are not removed: \(error)")
        }
    }
}

/// Does `work`; when the task is cancelled, stops the replicas that it waits for.
private func withTaskCancellation(
    of set: ReplicaSet, _ work: () async throws(ConstructorFailure) -> Void
) async throws(ConstructorFailure) {
    let result = await withTaskCancellationHandler {
        do throws(ConstructorFailure) {
            try await work()
            return Result<Void, ConstructorFailure>.success(())
        } catch {
            return .failure(error)
        }
    } onCancel: {
        set.stop()
    }
    try result.get()
}
