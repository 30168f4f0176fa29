internal import Environments
internal import FunctionConfig
internal import GRPC
internal import Logging

extension FunctionRegistry {
    /// Deploys a function and returns when it is Ready and on the disk. Of one that fails nothing stays but its log.
    func deploy(
        _ request: DeployRequest, progress: @escaping @Sendable (DeployProgress) -> Void
    ) async throws(FunctionError) -> DeployedFunction {
        do throws(FunctionError) {
            return try await deployChecked(request, progress: progress)
        } catch {
            removeUnused(request.bundle)
            throw error
        }
    }

    private func deployChecked(
        _ request: DeployRequest, progress: @escaping @Sendable (DeployProgress) -> Void
    ) async throws(FunctionError) -> DeployedFunction {
        let name = try FunctionPlanner.name(request.name)
        let existing = try begin(name.text)
        defer { end(name.text) }
        if existing == nil, request.mustExist { throw .notDeployed(routes.unknown(name.text)) }
        if existing != nil, request.ifExists == .refuse { throw .alreadyExists(name.text) }
        deploying.append(request.bundle)
        defer { if let index = deploying.firstIndex(of: request.bundle) { deploying.remove(at: index) } }
        let newest = existing?.versions.last?.number ?? 0
        let record = try await planner.resolved(
            try planner.record(for: request, name: name, version: newest + 1),
            authorization: request.registryAuthorization, progress: progress)
        let version = makeVersion(record)
        // Whatever ends this gateway meanwhile, the next one knows what is left over.
        do throws(RegistryError) { try store.mark(Removal(record)) } catch { throw .registry(error) }
        let log = existing?.log ?? logs.begin(name.text)
        if existing == nil { startingLogs[name.text] = log }
        defer { startingLogs[name.text] = nil }
        do throws(FunctionError) {
            return try await deploy(version, request.ifExists, existing, log) { event in
                if case .output(let line) = event { log.append(text: "dcf: \(line)", replica: 0, stream: .gateway) }
                progress(event)
            }
        } catch {
            discard(record)
            let reason = error.status.message.prefix { !$0.isNewline }
            if existing == nil {
                logs.end(
                    log, of: name.text, because: "the deploy of \(LogTime.text(record.createdAt)) failed: \(reason)")
            } else {
                log.append(
                    text: "dcf: version \(version.number) is not deployed: \(reason)", replica: 0, stream: .gateway)
            }
            throw error
        }
    }

    private func deploy(
        _ version: DeployedVersion, _ ifExists: DeployRequest.IfExists, _ existing: DeployedFunction?,
        _ log: FunctionLog, progress: @escaping @Sendable (DeployProgress) -> Void
    ) async throws(FunctionError) -> DeployedFunction {
        let replaces = ifExists == .replace || version.settings.strategy == .replace
        try await checkDevices(for: version, replaces: existing != nil && replaces)
        version.become(try await planner.plan(version.record, unpacking: true, progress: progress))
        guard let existing else { return try await deployFirst(version, log, progress) }
        try await take(
            over: existing, Traffic(version: version.number), adding: version, isAlone: ifExists == .replace,
            first: ifExists == .replace, progress)
        return existing
    }

    private func deployFirst(
        _ version: DeployedVersion, _ log: FunctionLog, _ progress: @escaping @Sendable (DeployProgress) -> Void
    ) async throws(FunctionError) -> DeployedFunction {
        var record = version.record
        record.traffic = 100
        version.become(record)
        let now = LogTime.now()
        let function = DeployedFunction(
            FunctionRecord(name: record.name, createdAt: now, updatedAt: now), versions: [version],
            traffic: Traffic(version: version.number), current: version, log: log)
        let set = try await startBeside(version, log, count: max(record.replicas.min, 1), progress)
        do throws(FunctionError) {
            try save(StoredFunction(function.record, versions: [record]))
        } catch {
            set.stop()
            await set.waitUntilEnded()
            throw error
        }
        run(version, set)
        set.activate()
        functions[function.name] = function
        publish(function)
        context.changes.announce()
        return function
    }

    /// Removes a function. What its replicas have is finished; what waits is refused.
    func delete(_ name: String) async throws(FunctionError) {
        let function = try beginExisting(name)
        defer { end(name) }
        let isScarce = reserve.isScarce
        try forget(function)
        routes.remove(name)
        functions[name] = nil
        let failure = CallFailure.unknownFunction(name, nearest: nil)
        var sets: [ReplicaSet] = []
        for version in function.versions {
            version.remove()
            version.route.remove(failure)
            if let set = version.release() { sets.append(set) }
        }
        context.changes.announce()
        for set in sets { retire(set) }
        for set in sets {
            await set.waitUntilEnded()
            hasLeft(set)
        }
        logs.end(function.log, of: name, because: "function \"\(name)\" was deleted at \(LogTime.text(LogTime.now()))")
        for version in function.versions { removeFiles(of: Removal(version.record)) }
        if isScarce { await removeUnusedEnvironments(atOnce: true) }
        reserve.take()
        // A build that follows at once finds either the image or nothing of it.
        await context.containers.wait(for: function.versions.map { releaseImage(of: $0.record, isLast: true) })
    }

    /// Starts new replicas of the versions that get calls; also of a function that is Failed. With `strategy: replace` those
    /// that it has are stopped before.
    func restart(_ name: String) async throws(FunctionError) {
        let function = try beginExisting(name)
        defer { end(name) }
        var started: [(DeployedVersion, ReplicaSet)] = []
        var held: [(version: DeployedVersion, replicas: Int)] = []
        do throws(FunctionError) {
            var counts: [Int] = []
            for version in function.live {
                if let damage = version.damage { throw .damaged(name, version: version.number, damage) }
                version.become(try await planner.plan(version.record, unpacking: false) { _ in })
                counts.append(wantedAtStart(version, relieving: [version]))
            }
            held = await hold(function.live.filter { $0.settings.strategy == .replace && $0.problem == nil })
            for (version, count) in zip(function.live, counts) {
                started.append((version, try await startBeside(version, function.log, count: count) { _ in }))
            }
        } catch {
            for (_, set) in started { retire(set) }
            bringBack(held, function)
            throw error
        }
        for (version, set) in started {
            version.route.reopen()
            set.activate()
            run(version, set)
        }
        for version in function.versions where version.problem != nil && version.damage == nil {
            if let set = version.forgive() { retire(set) }
        }
        // What was wrong with its own row, if anything was, is put right.
        if let stored = self.stored(function) { try save(stored) }
        context.changes.announce()
    }

    /// Starts a version's replicas beside what runs, and returns when all are Ready. They get no calls yet.
    func startBeside(
        _ version: DeployedVersion, _ log: FunctionLog, count: Int,
        _ progress: @escaping @Sendable (DeployProgress) -> Void
    ) async throws(FunctionError) -> ReplicaSet {
        let plan = try await plan(version, progress: progress)
        try await planner.restoreImage(of: version.record, progress: progress)
        let leases = try await reserveDevices(for: version, count: count)
        let set = makeSet(plan, version, log, isActive: false, leases: leases ?? [])
        let count = leases?.count ?? count
        do throws(ConstructorFailure) {
            try await withTaskCancellation(of: set) { () async throws(ConstructorFailure) in
                try await set.start(count) { progress(.step($0)) }
            }
        } catch {
            if Task.isCancelled { throw .cancelled }
            if !error.traceback.isEmpty { progress(.traceback(error.traceback)) }
            throw .constructor(function: version.record.name, error)
        }
        return set
    }

    /// With how many replicas a version begins that takes calls over from others: what it has at least, and where that may
    /// grow, as many as work on those calls now.
    func wantedAtStart(_ version: DeployedVersion, relieving others: [DeployedVersion]) -> Int {
        let range = version.record.replicas
        let running = others.reduce(0) { $0 + ($1.set?.living ?? 0) }
        return max(min(running, range.max), range.min, 1)
    }

    /// A version is no longer kept, and its calls have moved: it finishes what it has, then its files go.
    func drop(_ version: DeployedVersion, of function: DeployedFunction) {
        version.remove()
        keepCount(of: version, function)
        let record = version.record
        let cleanUp: @Sendable () async -> Void = { [self] in await discardDropped(record) }
        if let set = version.release() { retire(set, then: cleanUp) } else { context.tasks.add(cleanUp) }
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
