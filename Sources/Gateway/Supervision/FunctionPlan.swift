internal import Environments
internal import FunctionConfig

/// One version of a function, ready to be started: its config checked, and what its replicas are started from prepared.
struct FunctionPlan: Sendable {
    var record: VersionRecord
    var config: FunctionConfig
    var source: ReplicaSource
    var callTimeout: Duration
    var startTimeout: Duration
    /// Calls that may wait.
    var queueBound: Int
    /// Where another gateway has deployed it, which alone starts and ends its replicas.
    var shared: SharedService?
    /// How long a replica's end may take.
    var stopLimit = Limits().stop

    var name: String { record.name }
    var isShared: Bool { shared != nil }

    /// What the watcher gets in Welcome.
    var settings: [UInt8] {
        let memory = config.limits.memory.map { "\($0)" } ?? "null"
        let cpu = config.limits.cpu.map { "\($0)" } ?? "null"
        let json =
            "{\"name\":\"\(name)\",\"version\":\(record.version),\"parameters\":\(config.parameters),"
            + "\"timeout\":{\"call\":\(callTimeout.inSeconds),\"start\":\(startTimeout.inSeconds)},"
            + "\"limits\":{\"memory\":\(memory),\"cpu\":\(cpu),\"gpu\":\(config.limits.gpu)},\"concurrency\":\(config.concurrency),"
            + "\"batch\":\(batchJSON),\"cancel\":\(config.cancel.rawValue.asJSONString),\"warmup\":\(warmupJSON),"
            + "\"stop\":\(stopLimit.inSeconds)}"
        return Array(json.utf8)
    }

    private var batchJSON: String {
        guard let batch = config.batch else { return "null" }
        return "{\"max_size\":\(batch.sizeMax),\"retry\":\(batch.retry)}"
    }

    private var warmupJSON: String {
        switch config.warmup {
        case .input(let text): "{\"input\":\(text.asJSONString)}"
        case .file(let path): "{\"file\":\(path.asJSONString)}"
        case nil: "null"
        }
    }

    /// The environment that it was made with, by its name in the cache; nil where that is the interpreter itself.
    var environment: String? {
        if case .process(let source) = source { source.python.key } else { nil }
    }

    /// What each of its replicas needs of the host's GPUs; nil is none.
    var gpus: GPURequest? {
        // A Swarm gives its nodes' devices itself.
        if case .service = source { return nil }
        return GPURequest(config.limits)
    }

    /// One of its replicas, as one that has devices.
    func holder(_ replica: Int) -> GPUHolder {
        GPUHolder(function: name, version: record.version, replica: replica)
    }

    /// How its calls are handled.
    var routeSettings: RouteSettings {
        RouteSettings(
            callTimeout: callTimeout, queueBound: queueBound, concurrency: config.concurrency, batch: config.batch)
    }

    /// The environment of its watchers, less what belongs to one of them.
    ///
    /// - Parameter inherited: the gateway's own, of which only a few pass.
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
}

extension Duration {
    var inSeconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
