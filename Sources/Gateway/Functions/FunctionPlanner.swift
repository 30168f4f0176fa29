internal import Engine
internal import Environments
internal import FunctionConfig
internal import Glibc

/// Turns what is asked for into what can be started: checks the config, unpacks the bundle, prepares the environment.
final class FunctionPlanner: Sendable {
    static let replicasMax: UInt64 = 1_024

    private let bundles: BundleStore
    private let interpreters: InterpreterFinder
    private let environments: EnvironmentCache
    /// The interpreter of functions that name none.
    private let defaultPython: String?
    private let containers: ContainerHost
    /// Nil where images run as containers of this machine.
    private let swarm: SwarmHost?
    /// What functions are whose config does not say.
    private let defaultDeploy: DeployKind
    private let limits: Limits

    init(
        bundles: BundleStore, interpreters: InterpreterFinder, environments: EnvironmentCache, defaultPython: String?,
        containers: ContainerHost, swarm: SwarmHost?, defaultDeploy: DeployKind, limits: Limits
    ) {
        self.bundles = bundles
        self.interpreters = interpreters
        self.environments = environments
        self.defaultPython = defaultPython
        self.containers = containers
        self.swarm = swarm
        self.defaultDeploy = defaultDeploy
        self.limits = limits
    }

    /// The record that a deploy will leave, checked as far as that is possible without starting anything.
    func record(
        for request: DeployRequest, name: FunctionName, version: Int
    ) throws(FunctionError) -> VersionRecord {
        let config = try parse(request.config, name)
        let deploy = try deployKind(request, config)
        do throws(ConfigError) { try config.requireSupported(as: deploy) } catch { throw .badConfig(error) }
        if deploy == .process {
            guard bundles.contains(request.bundle) else { throw .bundle(.unknown(request.bundle)) }
        }
        let secrets = try secrets(request, config, deploy)
        guard config.replicas.max <= Int(Self.replicasMax) else {
            throw .badArgument("replicas: \(config.replicas.max) is more than \(Self.replicasMax)")
        }
        guard config.limits.gpu == 0 || request.environment[FunctionConfig.devicesVariable] == nil else {
            throw .badArgument(
                "EnvVars: \(FunctionConfig.devicesVariable) is set by limits.gpu; remove one of the two")
        }
        return VersionRecord(
            name: name.text, version: version, deploy: deploy,
            image: request.image.isEmpty ? config.image : request.image, secrets: secrets,
            constraints: config.constraints + request.constraints, config: request.config,
            bundle: deploy == .image ? "" : request.bundle, labels: request.labels,
            annotations: request.annotations,
            environment: request.environment, replicas: config.replicas, createdAt: LogTime.now())
    }

    private func deployKind(_ request: DeployRequest, _ config: FunctionConfig) throws(FunctionError) -> DeployKind {
        let wanted = request.deploy ?? config.deploy ?? (request.bundle.isEmpty ? defaultDeploy : .process)
        let hasImage = !request.image.isEmpty || !config.image.isEmpty
        switch wanted {
        case .process where request.bundle.isEmpty:
            throw .badArgument(
                "function \"\(config.name)\" has no bundle; dcf function create ships the function's folder, and with "
                    + "\"deploy: image\" the gateway runs its image")
        case .image where !hasImage:
            throw .badArgument(
                "function \"\(config.name)\" is to be deployed as an image and names none; set \"image\" in the config")
        default: return wanted
        }
    }

    private func secrets(
        _ request: DeployRequest, _ config: FunctionConfig, _ deploy: DeployKind
    ) throws(FunctionError) -> [String] {
        let names = config.secrets + request.secrets.filter { !config.secrets.contains($0) }
        guard deploy == .image || names.isEmpty else {
            throw .badArgument("Secrets: they are for functions that are deployed as images")
        }
        for name in names {
            guard FunctionConfig.isSecretName(name) else {
                throw .badArgument("\"\(name)\" is not the name of a secret")
            }
        }
        if let missing = containers.folders.missing(of: names) {
            throw .container(.noSecret(missing, folder: containers.folders.secrets))
        }
        return names
    }

    /// A record with the very image that its name stands for now; the image is got where the engine does not have it.
    ///
    /// - Parameter authorization: for the image's registry.
    func resolved(
        _ record: VersionRecord, authorization: String, progress: @escaping @Sendable (DeployProgress) -> Void
    ) async throws(FunctionError) -> VersionRecord {
        guard record.deploy == .image else { return record }
        do throws(EngineError) {
            let credentials = authorization.isEmpty ? nil : RegistryCredentials(header: authorization)
            if let credentials { swarm?.keep(credentials, for: record.image) }
            let image = try await containers.images.resolve(
                record.image, credentials: credentials, isForThisMachine: swarm == nil, progress: progress)
            var record = record
            record.imageID = image.id
            record.imageUser = image.user
            record.imageVariables = image.variables.sorted()
            record.imageReference = image.reference
            record.imageArchitecture = image.architecture
            await containers.images.keep(record)
            return record
        } catch { throw .container(error) }
    }

    /// Has the engine get a version's image again where somebody has removed it.
    ///
    /// - Parameter isPatient: whether a registry that does not give it is waited for, by the version's replicas.
    /// - Throws: where that cannot be; not where the engine is away, as replicas wait for that.
    func restoreImage(
        of record: VersionRecord, isPatient: Bool = false, progress: @escaping @Sendable (DeployProgress) -> Void
    ) async throws(FunctionError) {
        guard record.deploy == .image, swarm == nil else { return }
        do throws(EngineError) {
            _ = try await containers.images.restore(Self.source(record), of: record.name, progress: progress)
        } catch {
            if !error.isEngines, !(isPatient && error.kind == .registry) { throw .container(error) }
        }
    }

    /// What callers and lists see of a version, from its config alone.
    func settings(of record: VersionRecord) throws(FunctionError) -> VersionSettings {
        var settings = VersionSettings(try parse(record.config, try Self.name(record.name)), limits: limits)
        // A Swarm gives its nodes' devices itself.
        if record.deploy == .image, swarm != nil { settings.gpus = nil }
        return settings
    }

    /// Makes everything that a record needs to be started.
    ///
    /// - Parameter unpacking: whether to unpack the bundle also where it is unpacked already. Never while replicas run in
    ///   that folder.
    func plan(
        _ record: VersionRecord, unpacking: Bool, progress: @escaping @Sendable (DeployProgress) -> Void
    ) async throws(FunctionError) -> FunctionPlan {
        let config = try parse(record.config, try Self.name(record.name))
        if record.deploy == .image {
            let source = Self.source(record)
            return plan(record, config, swarm == nil ? .image(source) : .service(source))
        }
        let folder = bundles.folder(of: record.name, version: record.version)
        if unpacking || access(folder, F_OK) != 0 {
            progress(.step("unpacking"))
            do throws(BundleStoreError) {
                try bundles.unpack(record.bundle, function: record.name, version: record.version)
            } catch {
                if Task.isCancelled { throw .cancelled }
                throw .bundle(error)
            }
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
            return plan(record, config, .process(ProcessSource(folder: folder, python: python)))
        } catch { throw .environment(error) }
    }

    /// The environment that a version would be started with now, by its name in the cache, whether or not it is there; nil
    /// where it needs none.
    func environment(of record: VersionRecord) async throws(FunctionError) -> String? {
        guard record.deploy == .process else { return nil }
        let config = try parse(record.config, try Self.name(record.name))
        let folder = bundles.folder(of: record.name, version: record.version)
        do throws(EnvironmentError) {
            let interpreter = try await interpreters.find(config.python ?? defaultPython, relativeTo: folder)
            return try environments.name(interpreter, requirements: folder + "/requirements.txt")
        } catch { throw .environment(error) }
    }

    /// Removes environments that nobody has needed for so long.
    ///
    /// - Returns: their names.
    func removeEnvironments(besides needed: Set<String>, unusedFor time: Duration) -> [String] {
        environments.removeUnused(besides: needed, unusedFor: time)
    }

    /// The same of what another gateway has deployed.
    func plan(_ service: SharedService) throws(FunctionError) -> FunctionPlan {
        let record = service.record
        let config = try parse(record.config, try Self.name(record.name))
        var plan = plan(record, config, .service(Self.source(record)))
        plan.shared = service
        return plan
    }

    private static func source(_ record: VersionRecord) -> ImageSource {
        ImageSource(
            id: record.imageID, name: record.image,
            reference: record.imageReference.isEmpty ? record.imageID : record.imageReference,
            architecture: record.imageArchitecture, user: record.imageUser, variables: Set(record.imageVariables))
    }

    private func plan(_ record: VersionRecord, _ config: FunctionConfig, _ source: ReplicaSource) -> FunctionPlan {
        FunctionPlan(
            record: record, config: config, source: source, callTimeout: config.timeout.call ?? limits.callTimeout,
            startTimeout: config.timeout.start ?? limits.startTimeout, queueBound: config.queue ?? limits.queue,
            stopLimit: limits.stop)
    }

    private func parse(_ yaml: String, _ name: FunctionName) throws(FunctionError) -> FunctionConfig {
        do throws(ConfigError) {
            return try FunctionConfig.parse(yaml: yaml, name: name)
        } catch { throw .badConfig(error) }
    }

    static func name(_ text: String) throws(FunctionError) -> FunctionName {
        do throws(InvalidFunctionName) { return try FunctionName(text) } catch { throw .badName(error) }
    }
}
