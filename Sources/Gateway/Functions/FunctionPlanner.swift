internal import Environments
internal import FunctionConfig
internal import Glibc

/// Turns what is asked for into what can be started: checks the config, unpacks the bundle, prepares the environment.
final class FunctionPlanner: Sendable {
    static let replicasMax: UInt64 = 256

    private let bundles: BundleStore
    private let interpreters: InterpreterFinder
    private let environments: EnvironmentCache
    /// The interpreter of functions that name none.
    private let defaultPython: String?
    private let limits: Limits

    init(
        bundles: BundleStore, interpreters: InterpreterFinder, environments: EnvironmentCache, defaultPython: String?,
        limits: Limits
    ) {
        self.bundles = bundles
        self.interpreters = interpreters
        self.environments = environments
        self.defaultPython = defaultPython
        self.limits = limits
    }

    /// The record that a deploy will leave, checked as far as that is possible without starting anything.
    func record(
        for request: DeployRequest, name: FunctionName, version: Int
    ) throws(FunctionError) -> VersionRecord {
        let config = try parse(request.config, name)
        guard !request.bundle.isEmpty else {
            throw .unsupported(
                "function \"\(name)\" has no bundle: deploys of images are not supported yet; dcf function create ships the "
                    + "function's folder")
        }
        guard bundles.contains(request.bundle) else { throw .bundle(.unknown(request.bundle)) }
        guard config.replicas.max <= Int(Self.replicasMax) else {
            throw .badArgument("replicas: \(config.replicas.max) is more than \(Self.replicasMax)")
        }
        guard config.limits.gpu == 0 || request.environment[FunctionConfig.devicesVariable] == nil else {
            throw .badArgument(
                "EnvVars: \(FunctionConfig.devicesVariable) is set by limits.gpu; remove one of the two")
        }
        return VersionRecord(
            name: name.text, version: version, image: request.image.isEmpty ? config.image : request.image,
            config: request.config, bundle: request.bundle, labels: request.labels, annotations: request.annotations,
            environment: request.environment, replicas: config.replicas, createdAt: LogTime.now())
    }

    /// What callers and lists see of a version, from its config alone.
    func settings(of record: VersionRecord) throws(FunctionError) -> VersionSettings {
        VersionSettings(try parse(record.config, try Self.name(record.name)), limits: limits)
    }

    /// Makes everything that a record needs to be started.
    ///
    /// - Parameter unpacking: whether to unpack the bundle also where it is unpacked already. Never while replicas run in
    ///   that folder.
    func plan(
        _ record: VersionRecord, unpacking: Bool, progress: @escaping @Sendable (DeployProgress) -> Void
    ) async throws(FunctionError) -> FunctionPlan {
        let config = try parse(record.config, try Self.name(record.name))
        let folder = bundles.folder(of: record.name, version: record.version)
        if unpacking || access(folder, F_OK) != 0 {
            progress(.step("unpacking"))
            do throws(BundleStoreError) {
                try bundles.unpack(record.bundle, function: record.name, version: record.version)
            } catch { throw .bundle(error) }
        }
        let handler = folder + "/" + config.handler.file
        guard access(handler, R_OK) == 0 else {
            throw .badConfig(
                config.failure(at: "handler.file", "the function's folder holds no file \"\(config.handler.file)\""))
        }
        do throws(EnvironmentError) {
            let interpreter = try await interpreters.find(config.python ?? defaultPython, relativeTo: folder)
            progress(.step("preparing the environment"))
            let python = try await environments.prepare(
                interpreter, requirements: folder + "/requirements.txt", folder: folder,
                timeout: config.timeout.build ?? limits.buildTimeout
            ) { progress(.output($0)) }
            return FunctionPlan(
                record: record, config: config, folder: folder, python: python,
                callTimeout: config.timeout.call ?? limits.callTimeout,
                startTimeout: config.timeout.start ?? limits.startTimeout, queueBound: config.queue ?? limits.queue)
        } catch { throw .environment(error) }
    }

    private func parse(_ yaml: String, _ name: FunctionName) throws(FunctionError) -> FunctionConfig {
        do throws(ConfigError) {
            let config = try FunctionConfig.parse(yaml: yaml, name: name)
            try config.requireSupported()
            return config
        } catch { throw .badConfig(error) }
    }

    static func name(_ text: String) throws(FunctionError) -> FunctionName {
        do throws(InvalidFunctionName) { return try FunctionName(text) } catch { throw .badName(error) }
    }
}
