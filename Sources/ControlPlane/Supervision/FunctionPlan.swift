internal import Calls
internal import Environments
internal import FunctionConfig

/// One version of a function, ready to be started: its config is checked, and its source is prepared.
struct FunctionPlan: Sendable {
    var record: VersionRecord
    var config: FunctionConfig
    var source: ReplicaSource
    /// The settings of the version's route.
    var route: RouteSettings
    var startTimeout: Duration
    /// The service of the version, if another gateway has deployed it. Only that gateway starts and ends its replicas.
    var shared: SharedService?
    /// How long the end of a replica may take.
    var stopLimit = Limits().stop

    var name: String { record.name }
    var isShared: Bool { shared != nil }
    var callTimeout: Duration { route.callTimeout }

    /// The name in the cache of the environment that the version was made with. Nil if the version uses the
    /// interpreter itself.
    var environment: String? {
        if case .process(let source) = source { source.python.key } else { nil }
    }

    /// The GPUs of this host that each replica needs. Nil if it needs none.
    var gpus: GPURequest? {
        let isSwarmTask = if case .service = source { true } else { false }
        return GPURequest(ofHost: config.limits, isSwarmTask: isSwarmTask)
    }

    /// A replica as a holder of devices.
    func holder(_ replica: Int) -> GPUHolder {
        GPUHolder(function: name, version: record.version, replica: replica)
    }

    /// The environment variables of the watchers, without those that belong to one watcher.
    ///
    /// - Parameter inherited: the environment of the gateway. Only a few of its variables are passed on.
    func variables(inherited: [String: String]) -> [String: String] {
        var variables = inherited.filter { EnvironmentVariables.passToFunctions($0.key) }
        if let cpus = config.limits.wholeCPUs { variables["OMP_NUM_THREADS"] = "\(cpus)" }
        variables.merge(record.environment) { $1 }
        for variable in config.environment { variables[variable.name] = variable.value }
        if case .process(let source) = source { variables["HANDLER_DIR"] = source.folder }
        variables["HANDLER_FILE"] = config.handler.file
        variables["HANDLER_NAME"] = config.handler.name
        return variables
    }

    /// Variables that name a function. Its replicas get them after the fork.
    private static let ownVariables: Set<String> = ["HANDLER_DIR", "HANDLER_FILE", "HANDLER_NAME"]

    /// The key of the template from which the replicas are forked. Nil if each replica starts by itself.
    ///
    /// - Parameter inherited: the environment of the gateway.
    func templateKey(inherited: [String: String]) -> TemplateKey? {
        guard !config.preload.isEmpty, case .process(let source) = source else { return nil }
        let variables = variables(inherited: inherited).filter { !Self.ownVariables.contains($0.key) }
        // A relative path in it is relative to the function's folder.
        let isRelative = (variables["PYTHONPATH"] ?? "").split(separator: ":").contains { !$0.hasPrefix("/") }
        return TemplateKey(
            python: source.python.python, modules: config.preload, variables: variables,
            folder: isRelative ? source.folder : "/")
    }
}

/// What the replicas of a version are started from.
enum ReplicaSource: Sendable {
    case process(ProcessSource)
    case image(ImageSource)
    /// A service of a Swarm.
    case service(ImageSource)
}

/// A folder and an interpreter of this machine.
struct ProcessSource: Sendable {
    /// The folder of the unpacked bundle.
    var folder: String
    var python: PythonEnvironment
}

extension Duration {
    var inSeconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
