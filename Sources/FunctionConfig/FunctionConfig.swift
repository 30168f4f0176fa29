/// One function of config.yaml: all its keys, checked, with defaults for the missing ones.
///
/// `ConfigFile.parse` reads all functions of a file. `FunctionConfig.parse` reads one function, as the gateway receives
/// it. `unsupportedKeys` lists keys that are valid but cannot be deployed.
package struct FunctionConfig: Sendable, Equatable {
    package var name: FunctionName
    package var runtime = FunctionRuntime.python3
    package var description = ""
    package var maintainer = ""
    package var handler: HandlerConfig
    package var image = ""
    package var dockerRegistry = ""
    /// In the order of the config, without duplicate names.
    package var environment: [EnvironmentVariable] = []
    package var limits = LimitsConfig()
    package var buildArguments: [EnvironmentVariable] = []
    package var buildPackages: [String] = []
    package var skipBuild = false
    /// The mapping `parameters` as the text of a JSON object. `{}` without the key.
    package var parameters = "{}"
    /// A version (`3.12`), or the path of an interpreter or a venv. Nil selects the default interpreter.
    package var python: String?
    package var replicas = ReplicaRange(min: 1, max: 1)
    /// How many calls one replica works on at a time.
    package var concurrency = 1
    package var batch: BatchConfig?
    /// How a running handler learns that its call was cancelled.
    package var cancel = CancelKind.flag
    /// The input of a call that each new replica must answer first.
    package var warmup: WarmupConfig?
    /// Modules that the function's template imports once, before it forks replicas.
    package var preload: [String] = []
    /// How a new version takes over from the old one.
    package var strategy = UpdateStrategy.rolling
    package var timeout = TimeoutConfig()
    /// How many calls may wait. Nil leaves this to the gateway's limit.
    package var queue: Int?
    /// How the replicas run: `deploy` in the config. Nil leaves this to the gateway.
    package var kind: DeployKind?
    /// The rights and limits of the function's containers.
    package var container = ContainerConfig()
    /// The names of the secrets that the function gets as files in /run/secrets, without duplicates. Only for images.
    package var secrets: [String] = []
    /// Which nodes of a Swarm may run the function, in Docker's form: `node.role==worker`.
    package var constraints: [String] = []

    /// This function's config as YAML, with anchors and merges resolved and without comments. A deploy sends this text.
    package internal(set) var yaml = "{}\n"
    /// The name of the file in messages.
    package internal(set) var fileName = "config.yaml"
    /// The line of each key, by the path below the function, such as `replicas.min`. The empty path is the function
    /// itself.
    var lines: [String: Int] = [:]

    /// The variable that tells CUDA which devices to use.
    package static let devicesVariable = "CUDA_VISIBLE_DEVICES"

    /// A function with defaults for everything.
    package init(name: FunctionName) {
        self.name = name
        handler = HandlerConfig(directory: name.text)
    }

    /// The error for a fault in the value of a key, such as `handler.dir`, with file and line.
    package func failure(at key: String, _ message: String) -> ConfigError {
        var place = key
        while lines[place] == nil, let dot = place.lastIndex(of: ".") {
            place = String(place[..<dot])
        }
        return ConfigError(file: fileName, line: lines[place] ?? lines[""], message: message)
    }
}
