internal import Calls
internal import Engine
internal import Environments
internal import FunctionConfig
internal import Glibc

/// Turns deploy requests and records into plans that can be started: checks the config, unpacks the bundle, prepares
/// the environment.
final class FunctionPlanner: Sendable {
    static let replicasMax: UInt64 = 1_024

    private let bundles: BundleStore
    private let interpreters: InterpreterFinder
    private let environments: EnvironmentCache
    /// The interpreter for functions whose config names none.
    private let defaultPython: String?
    private let containers: ContainerHost
    /// Nil if images run as containers of this machine.
    private let swarm: SwarmHost?
    /// How functions run if neither the request nor the config says it.
    private let defaultKind: DeployKind
    private let limits: Limits

    init(
        bundles: BundleStore, interpreters: InterpreterFinder, environments: EnvironmentCache, defaultPython: String?,
        containers: ContainerHost, swarm: SwarmHost?, defaultKind: DeployKind, limits: Limits
    ) {
        self.bundles = bundles
        self.interpreters = interpreters
        self.environments = environments
        self.defaultPython = defaultPython
        self.containers = containers
        self.swarm = swarm
        self.defaultKind = defaultKind
        self.limits = limits
    }

    /// The record that a deploy of `request` will write. Checks everything that can be checked without starting
    /// anything.
    func record(
        for request: DeployRequest, name: FunctionName, version: Int
    ) throws(FunctionError) -> VersionRecord {
        let config = try parse(request.config, name)
        let kind = try kind(of: request, config)
        do throws(ConfigError) { try config.requireSupported(as: kind) } catch { throw .badConfig(error) }
        if kind == .process {
            guard bundles.contains(request.bundle) else { throw .bundle(.unknown(request.bundle)) }
        }
        let secrets = try secrets(request, config, kind)
        guard config.replicas.max <= Int(Self.replicasMax) else {
            throw .badArgument("replicas: \(config.replicas.max) is more than \(Self.replicasMax)")
        }
        guard config.limits.gpu == 0 || request.environment[FunctionConfig.devicesVariable] == nil else {
            throw .badArgument(
                "EnvVars: \(FunctionConfig.devicesVariable) is set by limits.gpu; remove one of the two")
        }
        return VersionRecord(
            name: name.text, version: version, kind: kind,
            image: request.image.isEmpty ? config.image : request.image, secrets: secrets,
            constraints: config.constraints + request.constraints, config: request.config,
            bundle: kind == .image ? "" : request.bundle, labels: request.labels, annotations: request.annotations,
            environment: request.environment, replicas: config.replicas, createdAt: LogTime.now())
    }

    private func kind(of request: DeployRequest, _ config: FunctionConfig) throws(FunctionError) -> DeployKind {
        let wanted = request.kind ?? config.kind ?? (request.bundle.isEmpty ? defaultKind : .process)
        let hasImage = !request.image.isEmpty || !config.image.isEmpty
        switch wanted {
        case .process where request.bundle.isEmpty:
            throw .badArgument(
                "function \"\(config.name)\" has no bundle; dcf function create ships the function's folder, and with "
                    + "\"deploy: image\" the gateway runs its image")
        case .image where !hasImage:
            throw .badArgument(
                "function \"\(config.name)\" is to be deployed as an image but names none; set \"image\" in the config")
        default: return wanted
        }
    }

    private func secrets(
        _ request: DeployRequest, _ config: FunctionConfig, _ kind: DeployKind
    ) throws(FunctionError) -> [String] {
        let names = config.secrets + request.secrets.filter { !config.secrets.contains($0) }
        guard kind == .image || names.isEmpty else {
            throw .badArgument("Secrets: only functions that are deployed as images can have secrets")
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

    /// Adds to the record the exact image that its name stands for now. Pulls the image if the engine does not have it.
    ///
    /// - Parameter authorization: the credentials for the image's registry.
    func resolved(
        _ record: VersionRecord, authorization: String, progress: @escaping @Sendable (DeployEvent) -> Void
    ) async throws(FunctionError) -> VersionRecord {
        guard record.kind == .image else { return record }
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

    /// Makes the engine pull a version's image again if somebody has removed it.
    ///
    /// - Parameter isPatient: whether an error of the image's registry is left to the replicas, which wait and try
    ///   again.
    /// - Throws: if the image cannot be had. An engine that is away is not an error here: replicas wait for it.
    func restoreImage(
        of record: VersionRecord, isPatient: Bool = false, progress: @escaping @Sendable (DeployEvent) -> Void
    ) async throws(FunctionError) {
        guard record.kind == .image, swarm == nil else { return }
        do throws(EngineError) {
            _ = try await containers.images.restore(Self.source(record), of: record.name, progress: progress)
        } catch {
            if !error.isEngines, !(isPatient && error.kind == .registry) { throw .container(error) }
        }
    }

    /// The settings of a version, from its record alone.
    func settings(of record: VersionRecord) throws(FunctionError) -> VersionSettings {
        VersionSettings(
            try parse(record.config, try Self.name(record.name)), limits: limits,
            isSwarmTask: record.kind == .image && swarm != nil)
    }

    /// Makes everything that a version needs to be started.
    ///
    /// - Parameter unpacking: whether to unpack the bundle even if it is unpacked already. Must be false while replicas
    ///   run in that folder.
    func plan(
        _ record: VersionRecord, unpacking: Bool, progress: @escaping @Sendable (DeployEvent) -> Void
    ) async throws(FunctionError) -> FunctionPlan {
        let config = try parse(record.config, try Self.name(record.name))
        if record.kind == .image {
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

    /// The name in the cache of the environment that the version needs now, whether or not it is in the cache. Nil if
    /// the version needs none.
    func environment(of record: VersionRecord) async throws(FunctionError) -> String? {
        guard record.kind == .process else { return nil }
        let config = try parse(record.config, try Self.name(record.name))
        let folder = bundles.folder(of: record.name, version: record.version)
        do throws(EnvironmentError) {
            let interpreter = try await interpreters.find(config.python ?? defaultPython, relativeTo: folder)
            return try environments.name(interpreter, requirements: folder + "/requirements.txt")
        } catch { throw .environment(error) }
    }

    /// Removes the environments that no function has needed for that time.
    ///
    /// - Returns: their names.
    func removeEnvironments(besides needed: Set<String>, unusedFor time: Duration) -> [String] {
        environments.removeUnused(besides: needed, unusedFor: time)
    }

    /// The plan of a version that another gateway has deployed.
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
            record: record, config: config, source: source, route: RouteSettings(config, limits: limits),
            startTimeout: config.timeout.start ?? limits.startTimeout, stopLimit: limits.stop)
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
