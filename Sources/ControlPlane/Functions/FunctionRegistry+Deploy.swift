internal import Calls
internal import FunctionConfig
internal import Logging
internal import Platform

extension FunctionRegistry {
    /// Deploys a function and returns when it is Ready and its record is on the disk. If a first deploy fails, only the
    /// log of the function stays.
    func deploy(
        _ request: DeployRequest, progress: @escaping @Sendable (DeployEvent) -> Void
    ) async throws(FunctionError) -> DeployedFunction {
        do throws(FunctionError) {
            return try await deployChecked(request, progress: progress)
        } catch {
            removeUnused(request.bundle)
            throw error
        }
    }

    private func deployChecked(
        _ request: DeployRequest, progress: @escaping @Sendable (DeployEvent) -> Void
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
        // If this gateway ends during the deploy, the next one finds what is left over.
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
            let reason = error.failure.message.prefix { !$0.isNewline }
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
        _ log: FunctionLog, progress: @escaping @Sendable (DeployEvent) -> Void
    ) async throws(FunctionError) -> DeployedFunction {
        let replaces = ifExists == .replace || version.settings.strategy == .replace
        try await checkDevices(for: version, replaces: existing != nil && replaces)
        version.install(try await planner.plan(version.record, unpacking: true, progress: progress))
        guard let existing else { return try await deployFirst(version, log, progress) }
        try await moveCalls(
            of: existing, to: Traffic(version: version.number), adding: version, isAlone: ifExists == .replace,
            stoppingFirst: ifExists == .replace, progress)
        return existing
    }

    private func deployFirst(
        _ version: DeployedVersion, _ log: FunctionLog, _ progress: @escaping @Sendable (DeployEvent) -> Void
    ) async throws(FunctionError) -> DeployedFunction {
        var record = version.record
        record.traffic = 100
        version.update(record: record)
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
        adopt(set, for: version)
        set.activate()
        functions[function.name] = function
        publish(function)
        context.changes.announce()
        return function
    }

    /// Removes a function. Its replicas finish the calls that they have; calls that wait are refused.
    func delete(_ name: String) async throws(FunctionError) {
        let function = try beginExisting(name)
        defer { end(name) }
        let isScarce = reserve.isScarce
        try removeRows(of: function)
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
            removeEnded(set)
        }
        logs.end(function.log, of: name, because: "function \"\(name)\" was deleted at \(LogTime.text(LogTime.now()))")
        for version in function.versions { removeFiles(of: Removal(version.record)) }
        if isScarce { await removeUnusedEnvironments(atOnce: true) }
        reserve.refill()
        // After this a build that follows at once finds either the whole image or nothing of it.
        await containers.wait(for: function.versions.map { releaseImage(of: $0.record, isLast: true) })
    }

    /// Starts new replicas of the versions that get calls, even if the function is Failed. With `strategy: replace` the
    /// old replicas are stopped first.
    func restart(_ name: String) async throws(FunctionError) {
        let function = try beginExisting(name)
        defer { end(name) }
        var started: [(DeployedVersion, ReplicaSet)] = []
        var held: [(version: DeployedVersion, replicas: Int)] = []
        do throws(FunctionError) {
            var counts: [Int] = []
            for version in function.live {
                if let damage = version.damage { throw .damaged(name, version: version.number, damage) }
                version.install(try await planner.plan(version.record, unpacking: false) { _ in })
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
            adopt(set, for: version)
        }
        for version in function.versions where version.problem != nil && version.damage == nil {
            if let set = version.clearFailure() { retire(set) }
        }
        // Repairs the function's own row, if it was damaged.
        if let stored = self.stored(function) { try save(stored) }
        context.changes.announce()
    }

    /// Starts a version's replicas beside those that run, and returns when all of them are Ready. They get no calls
    /// yet.
    func startBeside(
        _ version: DeployedVersion, _ log: FunctionLog, count: Int,
        _ progress: @escaping @Sendable (DeployEvent) -> Void
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

    /// The number of replicas with which a version starts if it takes calls over from other versions: its minimum or,
    /// within its range, as many as the other versions have now.
    func wantedAtStart(_ version: DeployedVersion, relieving others: [DeployedVersion]) -> Int {
        let range = version.record.replicas
        let running = others.reduce(0) { $0 + ($1.replicaSet?.living ?? 0) }
        return max(min(running, range.max), range.min, 1)
    }

    /// Drops a version that is no longer kept and whose calls have moved: its replicas finish the calls that they have,
    /// then its files are removed.
    func drop(_ version: DeployedVersion, of function: DeployedFunction) {
        version.remove()
        countCalls(of: version, function)
        let record = version.record
        let cleanUp: @Sendable () async -> Void = { [self] in await discardDropped(record) }
        if let set = version.release() { retire(set, then: cleanUp) } else { context.tasks.add(cleanUp) }
    }
}

/// Does `work`. If the task is cancelled meanwhile, stops the replicas, for which `work` waits.
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
