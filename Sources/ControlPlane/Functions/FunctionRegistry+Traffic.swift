internal import Calls
internal import FunctionConfig
internal import Platform

extension FunctionRegistry {
    /// Gives all calls to an earlier version.
    ///
    /// - Parameter wanted: the number of the version. Nil stands for the newest one before the current version.
    /// - Returns: the number of the version that gets the calls now.
    func rollBack(_ name: String, to wanted: UInt64?) async throws(FunctionError) -> Int {
        let function = try beginExisting(name)
        defer { end(name) }
        let current = function.current.number
        let target: DeployedVersion
        if let wanted {
            target = try version(wanted, of: function)
        } else {
            guard let earlier = function.versions.last(where: { $0.number < current }) else {
                throw .noEarlierVersion(name, current: current)
            }
            target = earlier
        }
        guard function.traffic.weight(of: target.number) < 100 else {
            throw .badArgument("version \(target.number) of function \"\(name)\" gets all its calls already")
        }
        try await moveCalls(of: function, to: Traffic(version: target.number)) { _ in }
        return target.number
    }

    /// Divides the calls of a function between its versions.
    func setTraffic(_ name: String, _ weights: [(version: UInt64, weight: UInt64)]) async throws(FunctionError) {
        let function = try beginExisting(name)
        defer { end(name) }
        var known: [(version: Int, weight: UInt64)] = []
        for (number, weight) in weights { known.append((try version(number, of: function).number, weight)) }
        let traffic: Traffic
        do throws(Traffic.Problem) { traffic = try Traffic(known) } catch {
            throw .traffic(function: name, error)
        }
        try await moveCalls(of: function, to: traffic) { _ in }
    }

    func version(_ number: UInt64, of function: DeployedFunction) throws(FunctionError) -> DeployedVersion {
        guard let number = Int(exactly: number), let version = function.version(number) else {
            throw .notDeployed(
                .unknownVersion("\(number)", of: function.name, kept: function.versions.map(\.number)))
        }
        return version
    }

    /// Moves the calls of a function to other versions, as `traffic` says. Starts the versions that are to get calls
    /// and do not run. When all of them are Ready, writes the new division and switches at once. Calls that wait at a
    /// version which gets none any more move to a version that does.
    ///
    /// - Parameters:
    ///   - added: a new version of the function.
    ///   - isAlone: whether versions that get no calls are removed.
    ///   - stopsFirst: whether all running versions are stopped first; calls wait meanwhile. They are started again if
    ///     the new version does not start.
    func moveCalls(
        of function: DeployedFunction, to traffic: Traffic, adding added: DeployedVersion? = nil,
        isAlone: Bool = false, stoppingFirst stopsFirst: Bool = false,
        _ progress: @escaping @Sendable (DeployEvent) -> Void
    ) async throws(FunctionError) {
        let all = function.versions + (added.map { [$0] } ?? [])
        let taking = all.filter { traffic.weight(of: $0.number) > 0 }
        let live = function.live
        let relieved = live.filter { traffic.weight(of: $0.number) == 0 }
        let starting = taking.filter { version in
            guard version.replicaSet != nil, version.problem == nil else { return true }
            // A version that runs because callers named it may be too small for all calls.
            let ready = version.replicas.count { $0.phase == .ready }
            return !live.contains { $0 === version } && ready < wantedAtStart(version, relieving: relieved)
        }
        let counts = starting.map { wantedAtStart($0, relieving: relieved) }
        let replaces = taking.count == 1 && taking.allSatisfy { $0.settings.strategy == .replace }
        let held = stopsFirst || (replaces && !starting.isEmpty) ? await hold(all.filter { $0 !== added }) : []
        var started: [(version: DeployedVersion, set: ReplicaSet)] = []
        do throws(FunctionError) {
            for (version, count) in zip(starting, counts) {
                started.append((version, try await startBeside(version, function.log, count: count, progress)))
            }
            try switchOver(function, to: traffic, of: all, started, isAlone: isAlone)
        } catch {
            for (_, set) in started { retire(set) }
            bringBack(held, function)
            throw error
        }
        for (version, _) in held { version.unhold() }
    }

    /// Writes the new division of calls, and then makes it true.
    private func switchOver(
        _ function: DeployedFunction, to traffic: Traffic, of all: [DeployedVersion],
        _ started: [(version: DeployedVersion, set: ReplicaSet)], isAlone: Bool
    ) throws(FunctionError) {
        let kept = isAlone ? all.filter { traffic.weight(of: $0.number) > 0 } : kept(of: all, traffic)
        guard let current = kept.last(where: { $0.number == traffic.newest }),
            let main = kept.last(where: { $0.number == traffic.main })
        else { return }
        var record = function.record
        record.updatedAt = LogTime.now()
        let records = kept.map { version in
            var record = version.record
            record.traffic = traffic.weight(of: version.number)
            return record
        }
        try save(StoredFunction(record, versions: records))
        for (version, record) in zip(kept, records) { version.update(record: record) }
        for (version, set) in started {
            version.route.reopen()
            set.activate()
            adopt(set, for: version)
        }
        let before = function.live
        let relieved = before.filter { traffic.weight(of: $0.number) == 0 }
        for version in kept where traffic.weight(of: version.number) > 0 {
            // A version that ran because callers named it now gets other calls, too.
            version.route.reopen()
            guard !relieved.isEmpty, let set = version.replicaSet else { continue }
            set.scale(to: max(set.living, wantedAtStart(version, relieving: relieved)))
        }
        _ = function.update(record: record, versions: kept, traffic: traffic, current: current)
        publish(function)
        for version in all where traffic.weight(of: version.number) == 0 {
            let isKept = kept.contains { $0 === version }
            guard !isKept || before.contains(where: { $0 === version }) else { continue }
            // Even if the version is Failed, a call that names it may try to start it.
            version.route.reopen()
            version.route.move(
                waitingTo: main.route,
                refusingNamed: isKept
                    ? nil : .unknownVersion("\(version.number)", of: function.name, kept: kept.map(\.number)))
            if isKept, let set = version.release() { retire(set) }
            if !isKept { drop(version, of: function) }
        }
        context.changes.announce()
    }

    /// The versions that stay: all that get calls, and the newest of the others, within the limit.
    private func kept(of all: [DeployedVersion], _ traffic: Traffic) -> [DeployedVersion] {
        var surplus = all.count - context.limits.versions
        return all.filter { version in
            guard traffic.weight(of: version.number) == 0 else { return true }
            // A stand-in, which shows that the registry has no version of the function.
            guard version.number > 0 else { return false }
            guard surplus > 0 else { return true }
            surplus -= 1
            return false
        }
    }

    /// Stops versions before a new one starts. Their calls wait until the versions are started again or the calls move.
    ///
    /// - Returns: the versions, and how many replicas each one had.
    func hold(_ versions: [DeployedVersion]) async -> [(version: DeployedVersion, replicas: Int)] {
        var sets: [ReplicaSet] = []
        let held = versions.map { version in
            let set = version.hold()
            if let set { sets.append(set) }
            return (version: version, replicas: set?.living ?? 0)
        }
        for set in sets { retire(set) }
        for set in sets { await set.waitUntilEnded() }
        return held
    }

    /// Starts held versions again, with as many replicas as they had.
    func bringBack(_ held: [(version: DeployedVersion, replicas: Int)], _ function: DeployedFunction) {
        for (version, replicas) in held {
            guard replicas > 0, version.record.traffic > 0, let plan = version.plan else {
                version.unhold()
                continue
            }
            let set = makeSet(plan, version, function.log, isActive: true)
            adopt(set, for: version)
            set.add(replicas)
        }
    }
}
