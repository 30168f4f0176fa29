internal import FunctionConfig

extension FunctionRegistry {
    /// Refuses a version whose replicas cannot have their devices. Called before anything is done for the version.
    ///
    /// - Parameter replaces: whether the replicas that the function has now are stopped first.
    func checkDevices(for version: DeployedVersion, replaces: Bool) async throws(FunctionError) {
        guard let request = version.settings.gpus else { return }
        try await lookForDevices(request, of: version, evenIfKnown: true)
        let count = max(version.record.replicas.min, 1)
        guard let shortage = context.gpus.shortage(request, replicas: count) else { return }
        guard shortage.isPermanent || !replaces else { return }
        throw refusal(of: version, shortage)
    }

    /// Looks for the devices of the machine and passes them to the leases.
    ///
    /// - Parameter evenIfKnown: whether to look even if enough devices are known.
    func lookForDevices(
        _ request: GPURequest, of version: DeployedVersion, evenIfKnown: Bool
    ) async throws(FunctionError) {
        guard evenIfKnown || context.gpus.shortage(request, replicas: 1)?.isPermanent == true else { return }
        do throws(GPUShortage) {
            context.gpus.update(devices: try await context.inventory.look())
        } catch {
            throw .devices(function: version.record.name, error, hint: nil)
        }
        if let shortage = context.gpus.shortage(request, replicas: 1), shortage.isPermanent {
            throw .devices(function: version.record.name, shortage, hint: nil)
        }
    }

    /// Reserves the devices of a version's first replicas.
    ///
    /// - Parameter count: how many replicas are wanted. If there are fewer devices, fewer replicas get devices, but
    ///   never fewer than the version's minimum.
    /// - Returns: a lease for each replica. Nil for a version that needs no devices.
    func reserveDevices(
        for version: DeployedVersion, count: Int
    ) async throws(FunctionError) -> [GPULease]? {
        guard let request = version.settings.gpus else { return nil }
        try await lookForDevices(request, of: version, evenIfKnown: false)
        let least = max(version.record.replicas.min, 1)
        let count = max(min(count, context.gpus.room(for: request)), least)
        let holders = (1...count).map {
            GPUHolder(function: version.record.name, version: version.number, replica: $0)
        }
        do throws(GPUShortage) {
            return try await context.gpus.reserve(request, for: holders)
        } catch {
            if Task.isCancelled { throw .cancelled }
            throw refusal(of: version, error)
        }
    }

    /// Refuses to start `count` more replicas if there are no devices for them.
    func requireDevices(for version: DeployedVersion, more count: Int) throws(FunctionError) {
        guard let request = version.settings.gpus,
            let shortage = context.gpus.shortage(request, replicas: count)
        else { return }
        throw .devices(function: version.record.name, shortage, hint: nil)
    }

    private func refusal(of version: DeployedVersion, _ shortage: GPUShortage) -> FunctionError {
        let name = version.record.name
        let holdsSome = context.gpus.holders.contains { $0.holders.contains { $0.function == name } }
        let hint = "with \"strategy: replace\" in its config, or --replace, its replicas are stopped first"
        return .devices(function: name, shortage, hint: holdsSome && !shortage.isPermanent ? hint : nil)
    }
}
