internal import Calls
internal import FunctionConfig
internal import Logging
internal import Platform

extension FunctionRegistry {
    /// Sets the range in which the number of replicas follows the load. If both ends are equal, the number is fixed.
    /// Applies to all versions that get calls, or to the version that is named (`echo@3`). Holds until a new version
    /// comes with a config of its own.
    func scale(_ service: String, to range: ReplicaRange) throws(FunctionError) {
        let most = FunctionPlanner.replicasMax
        guard range.max >= 1 else {
            throw .badArgument(
                "0 replicas: 1 to \(most) are possible; 0..1 stops a function while it is idle, dcf function delete removes it"
            )
        }
        guard range.max <= Int(most), range.min <= range.max else {
            let text = range.min == range.max ? "\(range.max)" : "\(range.min)..\(range.max)"
            throw .badArgument("\(text) replicas: 1 to \(most) are possible, or from the least to the most, as 0..4")
        }
        let (name, number) = try Self.parts(of: service, routes)
        let function = try beginExisting(name)
        defer { end(name) }
        let versions = if let number { [try version(number, of: function)] } else { function.live }
        for version in versions {
            guard let set = version.replicaSet else { continue }
            try requireDevices(for: version, more: Self.replicas(of: set, in: range) - set.living)
        }
        let records = function.versions.map { version in
            var record = version.record
            if versions.contains(where: { $0 === version }) { record.replicas = range }
            return record
        }
        try save(StoredFunction(function.record, versions: records))
        for (version, record) in zip(function.versions, records) { version.update(record: record) }
        for version in versions {
            guard let set = version.replicaSet else { continue }
            set.scale(to: Self.replicas(of: set, in: range))
        }
        context.changes.announce()
    }

    private static func replicas(of set: ReplicaSet, in range: ReplicaRange) -> Int {
        max(min(set.living, range.max), range.min, 1)
    }

    /// Splits `echo@3` into the function's name and the version's number.
    private static func parts(of service: String, _ routes: RouteTable) throws(FunctionError) -> (String, UInt64?) {
        guard let at = service.firstIndex(of: "@") else { return (service, nil) }
        guard let number = UInt64(service[service.index(after: at)...]) else {
            throw .notDeployed(routes.unknown(service))
        }
        return (String(service[..<at]), number)
    }

    /// Gives every running version as many replicas as its load asks for, and stops idle versions. Called a few times
    /// in a second.
    func followLoad(at now: MonotonicTime = .now) {
        guard !isStopped else { return }
        let now = Duration.nanoseconds(now.nanoseconds)
        for version in runningVersions() {
            switch version.decide(at: now, window: context.limits.scaleDownWindow) {
            case .keep: break
            case .scale(let wanted):
                let count = possible(wanted, for: version)
                guard count != version.replicaSet?.living else { continue }
                let name = "\(version.record.name)@\(version.number)"
                context.logger.info("\(name): \(version.replicaSet?.living ?? 0) to \(count) replicas")
                version.replicaSet?.scale(to: count)
            case .stop: stopIdle(version)
            }
        }
    }

    /// The number of replicas, limited to those for which there are devices.
    private func possible(_ wanted: Int, for version: DeployedVersion) -> Int {
        guard let request = version.settings.gpus, let living = version.replicaSet?.living, wanted > living else {
            return wanted
        }
        return min(wanted - living, context.gpus.room(for: request)) + living
    }

    private func stopIdle(_ version: DeployedVersion) {
        guard let set = version.releaseIdle() else { return }
        context.logger.info("\(version.record.name)@\(version.number): idle, stopped until the next call")
        retire(set)
        context.changes.announce()
        // A call that came before the replicas were closed is with them. A call that came after waits, and needs a
        // start.
        if let function = functions[version.record.name] { startMissing(function) }
    }
}
