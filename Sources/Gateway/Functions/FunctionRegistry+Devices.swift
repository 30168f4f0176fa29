internal import FunctionConfig

extension FunctionRegistry {
    /// Refuses a version whose replicas cannot have their devices, before anything is done for it.
    ///
    /// - Parameter replaces: whether what the function has now is stopped before.
    func checkDevices(for version: DeployedVersion, replaces: Bool) async throws(FunctionError) {
        guard let request = version.settings.gpus else { return }
        try await lookForDevices(request, of: version, anew: true)
        let count = max(version.record.replicas.min, 1)
        guard let shortage = context.gpus.shortage(request, replicas: count) else { return }
        guard shortage.isPermanent || !replaces else { return }
        throw refusal(of: version, shortage)
    }

    /// Makes known which devices there are.
    ///
    /// - Parameter anew: also where enough are known.
    func lookForDevices(
        _ request: GPURequest, of version: DeployedVersion, anew: Bool
    ) async throws(FunctionError) {
        guard anew || context.gpus.shortage(request, replicas: 1)?.isPermanent == true else { return }
        do throws(GPUShortage) {
            context.gpus.become(try await context.inventory.look())
        } catch {
            throw .devices(function: version.record.name, error, hint: nil)
        }
        if let shortage = context.gpus.shortage(request, replicas: 1), shortage.isPermanent {
            throw .devices(function: version.record.name, shortage, hint: nil)
        }
    }

    /// The devices of a version's first replicas.
    ///
    /// - Parameter count: how many replicas there are to be. Fewer where there are not as many devices, but not less than
    ///   the version has to have.
    /// - Returns: a lease for each replica; nil for a version that needs none.
    func reserveDevices(
        for version: DeployedVersion, count: Int
    ) async throws(FunctionError) -> [GPULease]? {
        guard let request = version.settings.gpus else { return nil }
        try await lookForDevices(request, of: version, anew: false)
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

    /// Refuses to start so many replicas more where there are no devices for them.
    func requireDevices(for version: DeployedVersion, more count: Int) throws(FunctionError) {
        guard let request = version.settings.gpus,
            let shortage = context.gpus.shortage(request, replicas: count)
        else { return }
        throw .devices(function: version.record.name, shortage, hint: nil)
    }

    private func refusal(of version: DeployedVersion, _ shortage: GPUShortage) -> FunctionError {
        let name = version.record.name
        let holdsSome = context.gpus.holders.contains { $0.holders.contains { $0.function == name } }
        let hint = "with \"strategy: replace\" in its config, or --replace, what it has is stopped first"
        return .devices(function: name, shortage, hint: holdsSome && !shortage.isPermanent ? hint : nil)
    }
}
