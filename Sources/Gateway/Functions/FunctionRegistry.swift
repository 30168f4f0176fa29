internal import Engine
internal import Environments
internal import FunctionConfig
internal import GRPC
internal import Logging

/// All deployed functions, and every change of them. A change is on the disk before it is acknowledged, and of one
/// function there is one change at a time.
actor FunctionRegistry {
    let store: FunctionStore
    /// What is deployed once more, beside the registry.
    let records: RecordFolder
    let reserve: DataReserve
    let bundles: BundleStore
    let planner: FunctionPlanner
    let routes: RouteTable
    let routing: RouteContext
    let logs: LogFolder
    let context: SupervisionContext
    var functions: [String: DeployedFunction] = [:] {
        didSet { directory.become(functions) }
    }
    nonisolated let directory = FunctionDirectory()
    /// Functions that belong to another gateway: the services of each, never none, all of one owner's.
    var sharedServices: [String: [SharedService]] = [:]
    /// Names that another gateway has deployed too.
    var conflicts: Set<String> = []
    /// Versions that run, or did at the last look: the only ones whose size may have to change.
    private var running: [ObjectIdentifier: DeployedVersion] = [:]
    /// Replicas of versions that have been relieved, while they finish what they have.
    private var leaving: [ReplicaSet] = []
    /// Bundles of deploys that are under way.
    var deploying: [String] = []
    /// Logs of functions that are deployed for the first time, until they are.
    var startingLogs: [String: FunctionLog] = [:]
    /// Versions that are no longer kept, of functions that are being changed: their files and images are still there.
    var postponed: [VersionRecord] = []
    /// Functions whose records could not be written.
    var unrecorded: Set<String> = []
    /// Names of functions that are being changed.
    private var busy: Set<String> = []
    /// Calls of versions that are no longer kept, not written yet.
    private var uncounted: [String: UInt64] = [:]
    /// Whether counts could not be written the last time: said once.
    private var isCountingLate = false
    private var isDraining = false
    private(set) var isStopped = false

    init(
        store: FunctionStore, records: RecordFolder, reserve: DataReserve, bundles: BundleStore,
        planner: FunctionPlanner, routes: RouteTable, routing: RouteContext, logs: LogFolder,
        context: SupervisionContext
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
    }

    // MARK: Looking

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

    /// Shows that changes have their turn.
    func pass() {}

    // MARK: Start and stop

    /// Puts the functions of the last time back to work. They become Ready in their own time; of those that may be idle
    /// nothing is looked at but their records.
    ///
    /// - Parameter all: what the registry has.
    func restore(_ all: [StoredFunction]) {
        for stored in all {
            guard let function = makeFunction(stored) else { continue }
            functions[function.name] = function
        }
        record(all)
        removeMarked(uploadedBefore: .max)
        tellUnknown()
        for function in self.all {
            publish(function)
            settle(function)
        }
        let images = all.flatMap(\.versions).filter { $0.deploy == .image }
        if !images.isEmpty {
            context.tasks.add { [images = context.containers.images, records = images] in
                await images.keep(only: records)
            }
        }
    }

    private func makeFunction(_ stored: StoredFunction) -> DeployedFunction? {
        let versions = stored.versions.map { makeVersion($0, damage: damage(of: $0, stored)) }
        let weights = stored.versions.map { (version: $0.version, weight: UInt64(clamping: $0.traffic)) }
        guard let newest = versions.last(where: { $0.record.traffic > 0 }) ?? versions.last else { return nil }
        // Weights that do not add up are nobody's work; then all calls go to the newest that had any.
        let traffic = (try? Traffic(weights)) ?? Traffic(version: newest.number)
        let function = DeployedFunction(
            stored.function, versions: versions, traffic: traffic, current: newest,
            log: logs.log(of: stored.function.name))
        if let problem = stored.problem {
            let reason = FunctionError.damaged(function.name, version: nil, problem).status.message
            context.logger.error("\(reason)")
            for version in function.live where version.damage == nil { version.give(up: reason) }
        }
        return function
    }

    /// What keeps a version from being started, as far as that can be seen without trying.
    private func damage(of record: VersionRecord, _ stored: StoredFunction) -> String? {
        if let problem = stored.versionProblems[record.version] { return problem }
        guard record.version > 0, record.deploy == .process,
            !bundles.holds(record.bundle, function: record.name, version: record.version)
        else { return nil }
        return "its bundle \(record.bundle) and its folder are gone"
    }

    /// A version as its record says, not running. One whose config this gateway cannot read is Failed.
    ///
    /// - Parameter damage: what is wrong with its row or its files, if something is: then it is Failed, too.
    func makeVersion(_ record: VersionRecord, damage: String? = nil) -> DeployedVersion {
        let version: DeployedVersion
        do throws(FunctionError) {
            if let damage { throw .damaged(record.name, version: record.version, damage) }
            version = DeployedVersion(record, settings: try planner.settings(of: record), routing: routing)
        } catch {
            let damage = damage ?? "in its row config cannot be used: \(error.status.message)"
            version = DeployedVersion(
                record, settings: VersionSettings(limits: context.limits), routing: routing, damage: damage)
            let reason = FunctionError.damaged(record.name, version: record.version, damage).status.message
            context.logger.error("\(reason)")
            version.give(up: reason)
        }
        version.route.onWaiting { [weak self, weak version, tasks = context.tasks] in
            guard let self, let version else { return }
            tasks.add { await self.start(version) }
        }
        return version
    }

    /// No more changes. What calls need is still started.
    func beginDrain() {
        isDraining = true
    }

    /// Ends all replicas.
    func stopAll(within limit: Duration) async {
        isStopped = true
        for version in functions.values.flatMap(\.versions) { version.wake() }
        let sets = functions.values.flatMap(\.versions).compactMap(\.set) + leaving
        for set in sets { set.stop(within: limit) }
        for set in sets { await set.waitUntilEnded() }
    }

    /// Writes how many calls came since the last time.
    func writeInvocations() {
        var counts = uncounted
        for (name, function) in functions {
            for version in function.versions {
                let count = version.takeInvocations()
                guard count > 0 else { continue }
                function.addInvocations(count)
                counts[name, default: 0] += count
            }
        }
        // Until they are written.
        uncounted = counts
        guard !counts.isEmpty else { return }
        do throws(RegistryError) {
            // The last chance is worth the room that is kept.
            if isStopped {
                try reserve.lend { () throws(RegistryError) in try store.addInvocations(counts) }
            } else {
                try store.addInvocations(counts)
            }
            uncounted = [:]
            isCountingLate = false
        } catch {
            if !isCountingLate || isStopped {
                context.logger.warning("invocation counts are not written yet, and kept until they can be: \(error)")
            }
            isCountingLate = true
        }
    }

    /// The same of a version that leaves.
    func keepCount(of version: DeployedVersion, _ function: DeployedFunction) {
        let count = version.takeInvocations()
        guard count > 0, functions[function.name] === function else { return }
        function.addInvocations(count)
        uncounted[function.name, default: 0] += count
    }

    // MARK: One change at a time

    /// Marks a function as being changed; `end` must follow.
    func begin(_ name: String) throws(FunctionError) -> DeployedFunction? {
        guard !isDraining else { throw .draining }
        if let owner = owner(of: name) { throw .shared(name, owner) }
        guard busy.insert(name).inserted else { throw .busy(name) }
        return functions[name]
    }

    /// The same for one that must be there.
    func beginExisting(_ name: String) throws(FunctionError) -> DeployedFunction {
        let function = try self.function(named: name)
        _ = try begin(name)
        return function
    }

    /// Whether a change of that function is under way.
    func isChanging(_ name: String) -> Bool { busy.contains(name) }

    /// The change is over.
    func end(_ name: String) {
        busy.remove(name)
        discardPostponed(of: name)
        if let function = functions[name] { settle(function) }
    }

    // MARK: Running and not running

    /// Starts what should run and does not.
    func settle(_ function: DeployedFunction) {
        for version in function.versions where version.set == nil && version.shouldRun {
            context.tasks.add { [self] in await start(version) }
        }
    }

    /// Starts a version that does not run: for a call that waits, or because it should run. Once, however many ask. Where it
    /// cannot be started that is tried again, as its back-off says, for as long as it is wanted.
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
                    // An image that is gone and in no registry: its author alone can make it again.
                    context.logger.error("\(function.name)@\(version.number) cannot be started: \(failure)")
                    version.give(up: error.status.message)
                    break
                }
                note(error, of: version, function)
            }
            context.changes.announce()
        }
        _ = version.endStart(nil)
        context.changes.announce()
        // A call that came just now was told that it is being started.
        if !isStopped, functions[function.name] === function { settle(function) }
    }

    /// Everything for the replicas of a version that is being started.
    ///
    /// - Returns: nil where they are not wanted any more.
    private func prepare(
        _ version: DeployedVersion, _ function: DeployedFunction
    ) async throws(FunctionError) -> ReplicaSet? {
        if let request = version.settings.gpus {
            try await lookForDevices(request, of: version, anew: false)
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

    /// A version could not be started.
    private func note(_ error: FunctionError, of version: DeployedVersion, _ function: DeployedFunction) {
        let reason = error.status.message
        let pause = version.backoff.died(.handler, hadAnswered: false, because: reason)
        let next = ReplicaState.nextTry(in: pause)
        context.logger.error("\(function.name)@\(version.number) cannot be started: \(reason); \(next)")
        function.log.append(text: "dcf: cannot be started: \(reason); \(next)", replica: 0, stream: .gateway)
    }

    /// Everything to start a version; made once.
    func plan(
        _ version: DeployedVersion, progress: @escaping @Sendable (DeployProgress) -> Void
    ) async throws(FunctionError) -> FunctionPlan {
        if let damage = version.damage { throw .damaged(version.record.name, version: version.number, damage) }
        if let plan = version.plan { return plan }
        let plan = try await planner.plan(version.record, unpacking: false, progress: progress)
        version.become(plan)
        return plan
    }

    /// Makes `set` the version's replicas; those it had finish what they have.
    func run(_ version: DeployedVersion, _ set: ReplicaSet) {
        running[ObjectIdentifier(version)] = version
        if let before = version.become(set) { retire(before) }
    }

    /// The versions that run.
    func runningVersions() -> [DeployedVersion] {
        for (key, version) in running where version.set == nil { running[key] = nil }
        return Array(running.values)
    }

    /// - Parameter leases: for its first replicas; others get devices when there are some.
    func makeSet(
        _ plan: FunctionPlan, _ version: DeployedVersion, _ log: FunctionLog, isActive: Bool, leases: [GPULease] = []
    ) -> ReplicaSet {
        ReplicaSet(
            plan: plan, context: context, log: log, route: version.route, isActive: isActive,
            backoff: version.backoff, leases: leases)
    }

    /// Lets replicas finish what they have, and ends them.
    ///
    /// - Parameter then: called when they have ended.
    func retire(_ set: ReplicaSet, then: @escaping @Sendable () async -> Void = {}) {
        leaving.append(set)
        set.stop()
        context.tasks.add { [self] in
            await set.waitUntilEnded()
            await hasLeft(set)
            await then()
        }
    }

    /// What replicas run that finish what they have.
    var leavingPlans: [FunctionPlan] { leaving.map(\.plan) }

    /// Its replicas have ended.
    func hasLeft(_ set: ReplicaSet) {
        leaving.removeAll { $0 === set }
    }

    /// Tells callers where the function's calls go.
    func publish(_ function: DeployedFunction) {
        routes.set(
            function.name,
            versions: Dictionary(uniqueKeysWithValues: function.versions.map { ($0.number, $0.route) }),
            traffic: function.traffic)
        if owner(of: function.name) == nil { context.swarm?.tell(function.traffic, of: function.name) }
    }
}
