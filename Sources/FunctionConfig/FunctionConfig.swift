/// One function of config.yaml: every key of its part, checked, with the defaults filled in.
///
/// Made by `ConfigFile.parse` (the whole file) and by `FunctionConfig.parse` (one part, as the gateway gets it).
/// What is valid and cannot be deployed yet is told by `unsupportedKeys`.
package struct FunctionConfig: Sendable, Equatable {
    package var name: FunctionName
    package var runtime = FunctionRuntime.python3
    package var description = ""
    package var maintainer = ""
    package var handler: HandlerConfig
    package var image = ""
    package var dockerRegistry = ""
    /// In the order of the config; no name twice.
    package var environment: [EnvironmentVariable] = []
    package var limits = LimitsConfig()
    package var buildArguments: [EnvironmentVariable] = []
    package var buildPackages: [String] = []
    package var skipBuild = false
    /// The mapping `parameters` as the text of a JSON object; `{}` without the key.
    package var parameters = "{}"
    /// A version (`3.12`), the path of an interpreter, or the path of a venv; nil: the default interpreter.
    package var python: String?
    package var replicas = ReplicaRange(min: 1, max: 1)
    /// Calls that one replica works on at a time.
    package var concurrency = 1
    package var batch: BatchConfig?
    /// What a running handler notices when nobody waits for its call any more.
    package var cancel = CancelKind.flag
    /// A call that each new replica must answer before it gets others.
    package var warmup: WarmupConfig?
    /// Modules that are imported once, before the replicas are forked from the process that has them.
    package var preload: [String] = []
    /// How a new version takes over.
    package var strategy = UpdateStrategy.rolling
    package var timeout = TimeoutConfig()
    /// Calls that may wait; nil leaves it to the gateway's limit.
    package var queue: Int?
    /// Nil: what the gateway was started for.
    package var deploy: DeployKind?
    /// What it may do beyond the usual where it is deployed as an image.
    package var container = ContainerConfig()
    /// Names of secrets that it gets as files in /run/secrets; no name twice. Only as an image.
    package var secrets: [String] = []
    /// Where tasks of a Swarm may run, as Docker has it: `node.role==worker`.
    package var constraints: [String] = []

    /// This function's part as YAML, anchors and merges resolved, comments gone: what a deploy sends.
    package internal(set) var yaml = "{}\n"
    /// The file it was read from, for messages.
    package internal(set) var fileName = "config.yaml"
    /// Where its keys stand, by path below the function: `replicas.min`; the empty path is the function itself.
    var lines: [String: Int] = [:]

    /// The variable that tells CUDA which devices there are.
    package static let devicesVariable = "CUDA_VISIBLE_DEVICES"

    /// A function of which the config says nothing.
    package init(name: FunctionName) {
        self.name = name
        handler = HandlerConfig(directory: name.text)
    }

    /// The error for a fault found later in the value of a key (`handler.dir`), with its file and line.
    package func failure(at key: String, _ message: String) -> ConfigError {
        var place = key
        while lines[place] == nil, let dot = place.lastIndex(of: ".") {
            place = String(place[..<dot])
        }
        return ConfigError(file: fileName, line: lines[place] ?? lines[""], message: message)
    }
}
