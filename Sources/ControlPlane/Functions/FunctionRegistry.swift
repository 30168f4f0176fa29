internal import Calls
internal import Engine
internal import FunctionConfig
internal import Logging
internal import Platform

/// All deployed functions and all changes of them. A change is on the disk before it is acknowledged. Each function has
/// at most one change at a time.
actor FunctionRegistry {
    let store: FunctionStore
    /// A copy of what the registry holds, as files.
    let records: RecordFolder
    let reserve: DataReserve
    let bundles: BundleStore
    let planner: FunctionPlanner
    let routes: RouteTable
    let routing: RouteContext
    let logs: LogFolder
    let context: SupervisionContext
    let containers: ContainerHost
    /// Nil if images run as containers of this machine.
    let swarm: SwarmHost?
    var functions: [String: DeployedFunction] = [:] {
        didSet { directory.replace(with: functions) }
    }
    nonisolated let directory = FunctionDirectory()
    /// The services of functions that belong to another gateway. Each function has at least one, and all of them have
    /// one owner.
    var sharedServices: [String: [SharedService]] = [:]
    /// Names of functions of this gateway that another gateway has deployed, too.
    var conflicts: Set<String> = []
    /// Versions that run, or ran at the last look. Only these can need another number of replicas.
    private var running: [ObjectIdentifier: DeployedVersion] = [:]
    /// Replicas that no longer belong to a version and finish the calls that they have.
    private var ending: [ReplicaSet] = []
    /// The bundles of deploys that are under way.
    var deploying: [String] = []
    /// Logs of functions whose first deploy is under way.
    var startingLogs: [String: FunctionLog] = [:]
    /// Dropped versions of functions that are being changed. Their files and images are removed after the change.
    var postponed: [VersionRecord] = []
    /// Functions whose records could not be written.
    var unrecorded: Set<String> = []
    /// Names of functions that are being changed.
    private var busy: Set<String> = []
    /// Counts of calls that are not written yet, for each function.
    private var uncounted: [String: UInt64] = [:]
    /// Whether the last try to write the counts failed. It is logged once.
    private var isCountingLate = false
    private var isDraining = false
    private(set) var isStopped = false

    init(
        store: FunctionStore, records: RecordFolder, reserve: DataReserve, bundles: BundleStore,
        planner: FunctionPlanner, routes: RouteTable, routing: RouteContext, logs: LogFolder,
        context: SupervisionContext, containers: ContainerHost, swarm: SwarmHost?
    ) {
        self.store = store
        self.records = records
        self.reserve = reserve
        self.bundles = bundles
        self.planner = planner
        self.routes = routes
        self.routing = routing
        self.logs = logs
        self.context = context
        self.containers = containers
        self.swarm = swarm
    }

    // MARK: Look-up

    var all: [DeployedFunction] { functions.values.sorted { $0.name < $1.name } }

    func function(named name: String) throws(FunctionError) -> DeployedFunction {
        guard let function = functions[name] else {
            let failure = routes.unknown(name)
            guard let at = name.firstIndex(of: "@"), functions[String(name[..<at])] != nil else {
                throw .notDeployed(failure)
            }
            throw .badArgument("\"\(name)\" names a version; name the function alone: \(name[..<at])")
        }
        return function
    }

    /// Does nothing. That it returns shows that the actor makes progress.
    func passThrough() {}

    // MARK: Start and stop

    /// Restores the functions that the registry holds. Their versions are started in the background; for functions that
    /// may be idle only the records are read.
    ///
    /// - Parameter all: the functions in the registry.
    func restore(_ all: [StoredFunction]) {
        for stored in all {
            guard let function = makeFunction(stored) else { continue }
            functions[function.name] = function
        }
        updateRecords(from: all)
        removeMarked(uploadedBefore: .max)
        logUnknownFiles()
        for function in self.all {
            publish(function)
            startMissing(function)
        }
        let images = all.flatMap(\.versions).filter { $0.kind == .image }
        if !images.isEmpty {
            context.tasks.add { [images = containers.images, records = images] in
                await images.keep(only: records)
            }
        }
    }

    private func makeFunction(_ stored: StoredFunction) -> DeployedFunction? {
        let versions = stored.versions.map { makeVersion($0, damage: damage(of: $0, stored)) }
        let weights = stored.versions.map { (version: $0.version, weight: UInt64(clamping: $0.traffic)) }
        guard let newest = versions.last(where: { $0.record.traffic > 0 }) ?? versions.last else { return nil }
        // Weights that do not add up come from a damaged row. Then all calls go to the newest version that had any.
        let traffic = (try? Traffic(weights)) ?? Traffic(version: newest.number)
        let function = DeployedFunction(
            stored.function, versions: versions, traffic: traffic, current: newest,
            log: logs.log(of: stored.function.name))
        if let problem = stored.problem {
            let reason = FunctionError.damaged(function.name, version: nil, problem).failure.message
            context.logger.error("\(reason)")
            for version in function.live where version.damage == nil { version.fail(because: reason) }
        }
        return function
    }

    /// Why a version cannot be started, as far as that can be seen without trying. Nil if nothing is known to be wrong.
    private func damage(of record: VersionRecord, _ stored: StoredFunction) -> String? {
        if let problem = stored.versionProblems[record.version] { return problem }
        guard record.version > 0, record.kind == .process,
            !bundles.holds(record.bundle, function: record.name, version: record.version)
        else { return nil }
        return "its bundle \(record.bundle) and its folder are gone"
    }

    /// Makes a version from its record. It does not run yet. If its config cannot be read, it is Failed.
    ///
    /// - Parameter damage: what is wrong with its row or its files. The version is Failed then, too.
    func makeVersion(_ record: VersionRecord, damage: String? = nil) -> DeployedVersion {
        let version: DeployedVersion
        do throws(FunctionError) {
            if let damage { throw .damaged(record.name, version: record.version, damage) }
            version = DeployedVersion(
                record, settings: try planner.settings(of: record), routing: routing,
                restarts: context.restarts)
        } catch {
            let damage = damage ?? "in its row config cannot be used: \(error.failure.message)"
            version = DeployedVersion(
                record, settings: VersionSettings(limits: context.limits), routing: routing,
                restarts: context.restarts, damage: damage)
            let reason = FunctionError.damaged(record.name, version: record.version, damage).failure.message
            context.logger.error("\(reason)")
            version.fail(because: reason)
        }
        version.route.onWaiting { [weak self, weak version, tasks = context.tasks] in
            guard let self, let version else { return }
            tasks.add { await self.start(version) }
        }
        return version
    }

    /// Refuses changes from now on. Versions that calls need are still started.
    func beginDrain() {
        isDraining = true
    }

    /// Ends all replicas.
    func stopAll(within limit: Duration) async {
        isStopped = true
        for version in functions.values.flatMap(\.versions) { version.wake() }
        let sets = functions.values.flatMap(\.versions).compactMap(\.replicaSet) + ending
        for set in sets { set.stop(within: limit) }
        for set in sets { await set.waitUntilEnded() }
    }

    /// Writes how many calls came since the last time.
    func writeCallCounts() {
        var counts = uncounted
        for (name, function) in functions {
            for version in function.versions {
                let count = version.takeEndedCalls()
                guard count > 0 else { continue }
                function.addCalls(count)
                counts[name, default: 0] += count
            }
        }
        // Kept until they are written.
        uncounted = counts
        guard !counts.isEmpty else { return }
        do throws(RegistryError) {
            // This is the last chance, so the reserve may be used.
            if isStopped {
                try reserve.lend { () throws(RegistryError) in try store.addCalls(counts) }
            } else {
                try store.addCalls(counts)
            }
            uncounted = [:]
            isCountingLate = false
        } catch {
            if !isCountingLate || isStopped {
                context.logger.warning("call counts are not written yet, and are kept until they are: \(error)")
            }
            isCountingLate = true
        }
    }

    /// Counts the calls of a version that is dropped.
    func countCalls(of version: DeployedVersion, _ function: DeployedFunction) {
        let count = version.takeEndedCalls()
        guard count > 0, functions[function.name] === function else { return }
        function.addCalls(count)
        uncounted[function.name, default: 0] += count
    }

    // MARK: One change at a time

    /// Begins a change of a function. `end` must follow.
    ///
    /// - Returns: the function, if it exists.
    func begin(_ name: String) throws(FunctionError) -> DeployedFunction? {
        guard !isDraining else { throw .draining }
        if let owner = owner(of: name) { throw .shared(name, owner) }
        guard busy.insert(name).inserted else { throw .busy(name) }
        return functions[name]
    }

    /// Begins a change of a function that must exist. `end` must follow.
    func beginExisting(_ name: String) throws(FunctionError) -> DeployedFunction {
        let function = try self.function(named: name)
        _ = try begin(name)
        return function
    }

    /// Whether a change of this function is under way.
    func isChanging(_ name: String) -> Bool { busy.contains(name) }

    /// Ends a change that `begin` has begun.
    func end(_ name: String) {
        busy.remove(name)
        discardPostponed(of: name)
        if let function = functions[name] { startMissing(function) }
    }

    // MARK: Starting versions

    /// Starts the versions that should run and do not.
    func startMissing(_ function: DeployedFunction) {
        for version in function.versions where version.replicaSet == nil && version.shouldRun {
            context.tasks.add { [self] in await start(version) }
        }
    }

    /// Starts a version that does not run, because a call waits for it or because it should run. However many ask, it
    /// is started once. If the start fails, it is tried again after a pause, for as long as the version is wanted.
    func start(_ version: DeployedVersion) async {
        guard !isStopped, let function = functions[version.record.name], version.beginStart() else { return }
        while true {
            await version.waitForNextTry()
            guard !isStopped, version.wantsStart else { break }
            do throws(FunctionError) {
                guard let set = try await prepare(version, function) else { break }
                set.add(max(version.record.replicas.min, 1))
                context.changes.announce()
                return
            } catch {
                if case .container(let failure) = error, failure.kind == .notFound {
                    // The image is gone and no registry has it. Only its author can make it again.
                    context.logger.error("\(function.name)@\(version.number) cannot be started: \(failure)")
                    version.fail(because: error.failure.message)
                    break
                }
                note(error, of: version, function)
            }
            context.changes.announce()
        }
        _ = version.endStart(nil)
        context.changes.announce()
        // A call that came during this start has not asked for another one.
        if !isStopped, functions[function.name] === function { startMissing(function) }
    }

    /// Makes the replicas of a version that is being started.
    ///
    /// - Returns: nil if they are not wanted any more.
    private func prepare(
        _ version: DeployedVersion, _ function: DeployedFunction
    ) async throws(FunctionError) -> ReplicaSet? {
        if let request = version.settings.gpus {
            try await lookForDevices(request, of: version, evenIfKnown: false)
        }
        let plan = try await plan(version) { progress in
            if case .output(let line) = progress {
                function.log.append(text: "dcf: \(line)", replica: 0, stream: .gateway)
            }
        }
        try await planner.restoreImage(of: version.record, isPatient: true) { _ in }
        let set = makeSet(plan, version, function.log, isActive: true)
        guard !isStopped, version.endStart(set) else { return nil }
        running[ObjectIdentifier(version)] = version
        return set
    }

    /// Logs that a version could not be started, and sets the pause before the next try.
    private func note(_ error: FunctionError, of version: DeployedVersion, _ function: DeployedFunction) {
        let reason = error.failure.message
        let pause = version.backoff.died(.handler, hadAnswered: false, because: reason)
        let next = ReplicaState.nextTry(in: pause)
        context.logger.error("\(function.name)@\(version.number) cannot be started: \(reason); \(next)")
        function.log.append(text: "dcf: cannot be started: \(reason); \(next)", replica: 0, stream: .gateway)
    }

    /// The plan of a version. It is made once.
    func plan(
        _ version: DeployedVersion, progress: @escaping @Sendable (DeployEvent) -> Void
    ) async throws(FunctionError) -> FunctionPlan {
        if let damage = version.damage { throw .damaged(version.record.name, version: version.number, damage) }
        if let plan = version.plan { return plan }
        let plan = try await planner.plan(version.record, unpacking: false, progress: progress)
        version.install(plan)
        return plan
    }

    /// Makes `set` the replicas of the version. The replicas that it had finish the calls that they have.
    func adopt(_ set: ReplicaSet, for version: DeployedVersion) {
        running[ObjectIdentifier(version)] = version
        if let before = version.adopt(set) { retire(before) }
    }

    /// The versions that run.
    func runningVersions() -> [DeployedVersion] {
        for (key, version) in running where version.replicaSet == nil { running[key] = nil }
        return Array(running.values)
    }

    /// - Parameter leases: the devices of the first replicas. Further replicas wait for devices.
    func makeSet(
        _ plan: FunctionPlan, _ version: DeployedVersion, _ log: FunctionLog, isActive: Bool, leases: [GPULease] = []
    ) -> ReplicaSet {
        ReplicaSet(
            plan: plan, context: context, log: log, route: version.route, isActive: isActive,
            backoff: version.backoff, leases: leases)
    }

    /// Lets replicas finish the calls that they have, and ends them.
    ///
    /// - Parameter then: called after they have ended.
    func retire(_ set: ReplicaSet, then: @escaping @Sendable () async -> Void = {}) {
        ending.append(set)
        set.stop()
        context.tasks.add { [self] in
            await set.waitUntilEnded()
            await removeEnded(set)
            await then()
        }
    }

    /// The plans of replicas that finish the calls that they have.
    var endingPlans: [FunctionPlan] { ending.map(\.plan) }

    /// Forgets replicas that have ended.
    func removeEnded(_ set: ReplicaSet) {
        ending.removeAll { $0 === set }
    }

    /// Publishes where the function's calls go.
    func publish(_ function: DeployedFunction) {
        routes.set(
            function.name,
            versions: Dictionary(uniqueKeysWithValues: function.versions.map { ($0.number, $0.route) }),
            traffic: function.traffic)
        if owner(of: function.name) == nil { swarm?.publish(function.traffic, of: function.name) }
    }
}
