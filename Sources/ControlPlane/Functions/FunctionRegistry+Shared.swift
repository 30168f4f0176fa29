internal import Calls
internal import Engine
internal import FunctionConfig
internal import Logging
internal import Platform

/// Functions that other gateways of the group have deployed. This gateway sends calls to their tasks, and changes
/// nothing about them.
extension FunctionRegistry {
    /// Follows what the other gateways have deployed.
    ///
    /// - Parameter shared: all services of the other gateways.
    func follow(shared: [SharedService]) {
        guard !isStopped else { return }
        let found = Dictionary(grouping: shared, by: \.record.name)
        for (name, services) in found.sorted(by: { $0.key < $1.key }) { share(name, services) }
        for name in sharedServices.keys where found[name] == nil { unshare(name) }
    }

    /// The other gateway to which a function belongs. Nil if it belongs to this one.
    func owner(of name: String) -> GatewayOwner? {
        sharedServices[name]?.first.map { GatewayOwner(id: $0.owner, place: $0.place) }
    }

    private func share(_ name: String, _ services: [SharedService]) {
        // If two other gateways have deployed the same name, all gateways follow the one with the lowest ID.
        let owner = services.map(\.owner).min() ?? ""
        let services = services.filter { $0.owner == owner }.sorted { $0.record.version < $1.record.version }
        guard functions[name] == nil || sharedServices[name] != nil else {
            if conflicts.insert(name).inserted {
                context.logger.warning(
                    "function \"\(name)\" is deployed here and at gateway \(owner.prefix(8)); each serves its own")
            }
            return
        }
        if let before = self.owner(of: name), before.id != owner { unshare(name) }
        let known = functions[name]
        guard known == nil || services != sharedServices[name] else { return }
        let weights = services.map { (version: $0.record.version, weight: UInt64(clamping: $0.record.traffic)) }
        guard let newest = services.last(where: { $0.record.traffic > 0 }) else { return }
        let traffic = (try? Traffic(weights)) ?? Traffic(version: newest.record.version)
        let before = known?.versions ?? []
        var versions: [DeployedVersion] = []
        for service in services {
            if let version = before.first(where: { isSame($0, service) }) {
                version.update(record: service.record)
                version.replicaSet?.scale(to: service.record.replicas.max)
                versions.append(version)
            } else if let version = begin(service, log: known?.log ?? logs.log(of: name)) {
                versions.append(version)
            }
        }
        guard let current = versions.last(where: { $0.number == traffic.newest }),
            let main = versions.last(where: { $0.number == traffic.main })
        else { return }
        let now = LogTime.now()
        let record = FunctionRecord(name: name, createdAt: newest.record.createdAt, updatedAt: now)
        sharedServices[name] = services
        if let known {
            _ = known.update(record: record, versions: versions, traffic: traffic, current: current)
            publish(known)
        } else {
            let function = DeployedFunction(
                record, versions: versions, traffic: traffic, current: current, log: logs.log(of: name))
            functions[name] = function
            publish(function)
            context.logger.info("\(name): shared by gateway \(self.owner(of: name)?.description ?? owner)")
        }
        for version in before
        where traffic.weight(of: version.number) == 0 || !versions.contains(where: { $0 === version }) {
            version.route.move(waitingTo: main.route)
        }
        for version in before where !versions.contains(where: { $0 === version }) { drop(version) }
        context.changes.announce()
    }

    /// Whether the version still runs as that service. An owner that has started again has made new services.
    private func isSame(_ version: DeployedVersion, _ service: SharedService) -> Bool {
        sharedServices[service.record.name]?.contains {
            $0.record.version == version.number && $0.id == service.id
        } ?? false && version.number == service.record.version
    }

    private func begin(_ service: SharedService, log: FunctionLog) -> DeployedVersion? {
        let version = makeVersion(service.record)
        do throws(FunctionError) {
            let plan = try planner.plan(service)
            version.install(plan)
            let set = makeSet(plan, version, log, isActive: true)
            adopt(set, for: version)
            set.add(service.record.replicas.max)
            return version
        } catch {
            context.logger.warning(
                "\(service.record.name)@\(version.number) of another gateway: \(error.failure.message)")
            return nil
        }
    }

    private func drop(_ version: DeployedVersion) {
        version.remove()
        if let set = version.release() { retire(set) }
    }

    /// Removes a function that its owner has removed.
    private func unshare(_ name: String) {
        sharedServices[name] = nil
        guard let function = functions.removeValue(forKey: name) else { return }
        routes.remove(name)
        for version in function.versions {
            version.route.remove(.unknownFunction(name, nearest: nil))
            drop(version)
        }
        function.log.remove()
        context.logger.info("\(name): no longer shared")
        context.changes.announce()
    }
}

/// Another gateway of the group, as its services describe it.
struct GatewayOwner: Sendable, Hashable, CustomStringConvertible {
    let id: String
    /// The address at which the gateway listens, `HOST:PORT`. Empty if it is not known.
    let place: String

    var description: String { place.isEmpty ? String(id.prefix(8)) : "\(place) (\(id.prefix(8)))" }

    /// How to free a function's name if this gateway never comes back.
    func cleanUpHint(for function: String) -> String {
        """
        if that gateway is gone for good, run this on a manager of the Swarm to free the name, then create the function \
        again: docker service rm $(docker service ls -q --filter label=\(EngineLabel.gateway)=\(id) \
        --filter label=\(EngineLabel.function)=\(function))
        """
    }
}
