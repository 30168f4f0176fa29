// The types of the values in ``FunctionConfig``.

/// A language that functions can be written in: `runtime` in the config.
package struct FunctionRuntime: Sendable, Equatable {
    package let name: String
    package let aliases: [String]
    package let description: String

    package static let python3 = FunctionRuntime(
        name: "python3", aliases: ["python"],
        description: "CPython 3.9 or later; handler.py with a class Handler")

    package static let all = [python3]

    /// Every name that a config may use, aliases included.
    package static var names: [String] { all.flatMap { [$0.name] + $0.aliases } }

    package static func named(_ name: String) -> FunctionRuntime? {
        all.first { $0.name == name || $0.aliases.contains(name) }
    }
}

/// How the replicas of a function run: `deploy` in the config.
package enum DeployKind: String, Sendable, CaseIterable, Codable {
    /// As processes on the gateway's own machine.
    case process
    /// As containers of an image.
    case image
}

/// Where the code of a function lies: `handler` in the config.
package struct HandlerConfig: Sendable, Equatable {
    /// The folder, relative to the config file's folder. Without the key: the function's name.
    package var directory: String
    /// The file in that folder.
    package var file = "handler.py"
    /// The class or plain function in that file.
    package var name = "Handler"

    package init(directory: String) {
        self.directory = directory
    }
}

/// One entry of `environment` or `build_args` in the config: `NAME=VALUE`.
package struct EnvironmentVariable: Sendable, Equatable {
    package let name: String
    package let value: String

    package init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

/// The resources that a replica may use: `limits` in the config. Nil means unlimited.
package struct LimitsConfig: Sendable, Equatable {
    /// The resident bytes of all processes of the replica together.
    package var memory: UInt64?
    /// The number of processors. May be a fraction.
    package var cpu: Double?
    /// The number of GPUs that each replica gets.
    package var gpu = 0
    /// Whether a replica may share its GPUs with other replicas that have this set.
    package var gpuShared = false

    package init() {}

    /// `cpu`, rounded up to whole processors. Libraries are told to use this many threads.
    package var wholeCPUs: Int? { cpu.map { max(Int($0.rounded(.up)), 1) } }
}

/// How many replicas a function has: `replicas` in the config, a number or `{min, max}`.
package struct ReplicaRange: Sendable, Equatable {
    package var min: Int
    package var max: Int

    package init(min: Int, max: Int) {
        self.min = min
        self.max = max
    }
}

/// How calls are grouped into batches: `batch` in the config.
package struct BatchConfig: Sendable, Equatable {
    /// The most calls in one batch.
    package var sizeMax: Int
    /// How long the oldest call may wait for others once a replica is free. 0 means that no call waits.
    package var waitMax: Duration = .zero
    /// Whether the gateway runs the calls of a batch that raised once more, each alone.
    package var retry = true

    package init(sizeMax: Int) {
        self.sizeMax = sizeMax
    }
}

/// The time limits of a function: `timeout` in the config. Nil leaves a limit to the gateway.
package struct TimeoutConfig: Sendable, Equatable {
    /// For preparing the environment.
    package var build: Duration?
    /// From the start of a replica until its constructor returns.
    package var start: Duration?
    /// For one call, its time in the queue included.
    package var call: Duration?
    /// How long a function with `replicas.min` 0 may have no calls before it stops.
    package var idle: Duration?

    /// The gateway's limits, unless it was started with others.
    package static let buildDefault = Duration.seconds(600)
    package static let startDefault = Duration.seconds(60)
    package static let callDefault = Duration.seconds(60)
    package static let idleDefault = Duration.seconds(300)

    package init() {}
}

/// How a running handler learns that its call was cancelled: `cancel` in the config.
package enum CancelKind: String, Sendable, CaseIterable {
    /// `req.cancelled` turns true.
    case flag
    /// `req.cancelled` turns true, and `dcf.Cancelled` is raised in the handler's thread.
    case raise
}

/// The input of the call that warms a new replica up: `warmup` in the config.
package enum WarmupConfig: Sendable, Equatable {
    /// The text itself.
    case input(String)
    /// The path of a file in the function's folder.
    case file(String)
}

/// How a new version takes over from the old one: `strategy` in the config.
package enum UpdateStrategy: String, Sendable, CaseIterable {
    /// The new version starts beside the old one and takes over when it is Ready.
    case rolling
    /// The old version stops first, for models that do not fit twice. Calls wait meanwhile.
    case replace
}

/// The rights and limits of a function that is deployed as an image: `container` in the config.
package struct ContainerConfig: Sendable, Equatable {
    /// The user that the function runs as, such as `1000:1000` or `root`. Nil: the image's user, but never root.
    package var user: String?
    /// Whether only /tmp is writable: `read_only`.
    package var hasReadOnlyRoot = true
    /// The Linux capabilities that the container keeps.
    package var capabilities: [String] = []
    /// Whether programs may gain rights, as with sudo: `new_privileges`.
    package var mayGainPrivileges = false
    /// The most processes and threads at a time: `pids`.
    package var pidsMax = 1_024
    /// The size of /tmp in bytes. /tmp lies in memory. Nil: `limits.memory`, else 1 GiB.
    package var temporaryBytes: UInt64?
    /// A network of the engine, `none` or `host`. Nil selects the engine's default.
    package var network: String?

    package init() {}
}
