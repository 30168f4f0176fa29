extension FunctionConfig {
    /// Reads the config of one function: the text of the mapping under `functions.NAME`.
    package static func parse(
        yaml: String, name: FunctionName, fileName: String = "config"
    ) throws(ConfigError) -> FunctionConfig {
        if let root = try YAMLText.root(of: yaml, path: "functions.\(name)", file: fileName) {
            return try FunctionConfig(name: name, node: root)
        }
        var config = FunctionConfig(name: name)
        config.fileName = fileName
        return config
    }

    /// The keys of the schema, in the order of the config reference.
    static let keys = [
        "runtime", "desc", "maintainer", "handler", "image", "docker_registry", "environment", "limits", "build_args",
        "build_packages", "skip_build", "parameters", "python", "replicas", "concurrency", "batch", "timeout", "queue",
        "cancel", "warmup", "preload", "strategy", "deploy", "container", "secrets", "constraints",
    ]
    static let handlerKeys = ["dir", "file", "name"]
    static let limitsKeys = ["memory", "cpu", "gpu", "gpu_shared"]
    static let replicasKeys = ["min", "max"]
    static let batchKeys = ["max_size", "max_wait", "retry"]
    static let timeoutKeys = ["build", "start", "call", "idle"]
    static let warmupKeys = ["input", "file"]
    static let containerKeys = ["user", "read_only", "capabilities", "new_privileges", "pids", "tmp", "network"]

    private static let nestedKeys: [String] =
        handlerKeys.map { "handler.\($0)" } + limitsKeys.map { "limits.\($0)" }
        + replicasKeys.map { "replicas.\($0)" } + batchKeys.map { "batch.\($0)" } + timeoutKeys.map { "timeout.\($0)" }
        + warmupKeys.map { "warmup.\($0)" } + containerKeys.map { "container.\($0)" }

    private static let gpus = 0...64
    private static let durations = Duration.milliseconds(1)...Duration.seconds(24 * 3_600)

    init(name: FunctionName, node: ConfigNode) throws(ConfigError) {
        self.init(name: name)
        fileName = node.file
        lines[""] = node.line
        for entry in try node.entries() {
            lines[entry.key] = entry.value.line
            guard Self.keys.contains(entry.key) else {
                throw entry.unknown(in: node, known: Self.keys, elsewhere: Self.nestedKeys)
            }
            // A key without a value keeps the default.
            if entry.value.isNull { continue }
            try read(entry.key, entry.value)
        }
        try checkDevices()
        yaml = try YAMLWriter.text(of: node)
    }

    /// Throws if both `limits.gpu` and `environment` select GPUs.
    private func checkDevices() throws(ConfigError) {
        let name = Self.devicesVariable
        guard limits.gpu > 0, environment.contains(where: { $0.name == name }) else { return }
        throw failure(
            at: "environment",
            "functions.\(self.name).environment: \(name) is set by limits.gpu; remove one of the two")
    }

    private mutating func read(_ key: String, _ value: ConfigNode) throws(ConfigError) {
        switch key {
        case "runtime": try readRuntime(value)
        case "desc": description = try value.text()
        case "maintainer": maintainer = try value.text()
        case "handler": try readHandler(value)
        case "image": image = try value.text()
        case "docker_registry": dockerRegistry = try value.text()
        case "environment": environment = try Self.variables(value, reserved: true)
        case "limits": try readLimits(value)
        case "build_args": buildArguments = try Self.variables(value, reserved: false)
        case "build_packages": try readBuildPackages(value)
        case "skip_build": skipBuild = try value.boolean()
        case "parameters": parameters = try ParametersJSON.text(of: value)
        case "python": python = try value.optionalText()
        case "replicas": try readReplicas(value)
        case "concurrency": concurrency = try value.integer(in: 1...1_024)
        case "batch": try readBatch(value)
        case "timeout": try readTimeout(value)
        case "queue": queue = try value.integer(in: 1...1_000_000)
        case "cancel": cancel = try Self.choice(value) ?? cancel
        case "warmup": try readWarmup(value)
        case "preload": try readPreload(value)
        case "strategy": strategy = try Self.choice(value) ?? strategy
        case "container": try readContainer(value)
        case "secrets": try readSecrets(value)
        case "constraints": try readConstraints(value)
        default: kind = try Self.choice(value)
        }
    }

    /// Reads one word of a fixed set.
    private static func choice<Choice: RawRepresentable & CaseIterable>(
        _ value: ConfigNode
    ) throws(ConfigError) -> Choice? where Choice.RawValue == String {
        guard let text = try value.optionalText() else { return nil }
        guard let choice = Choice(rawValue: text) else {
            throw value.mismatch(Choice.allCases.map(\.rawValue.quoted).joined(separator: " or "))
        }
        return choice
    }

    private mutating func readRuntime(_ value: ConfigNode) throws(ConfigError) {
        guard let text = try value.optionalText() else { return }
        guard let runtime = FunctionRuntime.named(text) else {
            let near = Suggestion.clause(for: text, among: FunctionRuntime.names)
            throw value.failure(
                "unknown runtime \(text.quoted) in \(value.path)\(near) (\"dcf runtime list\" lists all runtimes)")
        }
        self.runtime = runtime
    }

    /// The entries of a nested mapping that have a value. Throws if a key is not one of `known`.
    private mutating func nested(
        _ mapping: ConfigNode, _ key: String, known: [String]
    ) throws(ConfigError) -> [ConfigEntry] {
        var entries: [ConfigEntry] = []
        for entry in try mapping.entries() {
            lines["\(key).\(entry.key)"] = entry.value.line
            guard known.contains(entry.key) else { throw entry.unknown(in: mapping, known: known) }
            if !entry.value.isNull { entries.append(entry) }
        }
        return entries
    }

    private mutating func readHandler(_ value: ConfigNode) throws(ConfigError) {
        for entry in try nested(value, "handler", known: Self.handlerKeys) {
            guard let text = try entry.value.optionalText() else { continue }
            switch entry.key {
            case "dir":
                handler.directory = text
            case "file":
                guard Self.staysInside(text) else {
                    throw entry.value.mismatch("a file inside handler.dir, such as handler.py")
                }
                handler.file = text
            default:
                guard Self.isIdentifier(text) else {
                    throw entry.value.mismatch("the name of a Python class or function")
                }
                handler.name = text
            }
        }
    }

    private mutating func readLimits(_ value: ConfigNode) throws(ConfigError) {
        for entry in try nested(value, "limits", known: Self.limitsKeys) {
            guard let text = try entry.value.optionalText() else { continue }
            switch entry.key {
            case "memory": limits.memory = try entry.value.size(in: (8 << 20)...(16 << 40))
            case "cpu":
                let number =
                    text.hasSuffix("m") ? PlainDecimal.value(of: text.dropLast()) : PlainDecimal.value(of: text)
                let cpu = number.map { text.hasSuffix("m") ? $0 / 1_000 : $0 }
                guard let cpu, cpu >= 0.001, cpu <= 1_024 else {
                    throw entry.value.mismatch("a number of processors from 0.001 to 1024, such as 1, 0.5 or 500m")
                }
                limits.cpu = cpu
            case "gpu":
                guard let count = Int(text), Self.gpus.contains(count) else {
                    throw entry.value.mismatch("a number of devices from 0 to \(Self.gpus.upperBound)")
                }
                limits.gpu = count
            default: limits.gpuShared = try entry.value.boolean()
            }
        }
        if limits.gpuShared, limits.gpu == 0 {
            throw value.failure("\(value.path): gpu_shared shares the devices of gpu, and gpu is not set; add gpu: 1")
        }
    }

    private mutating func readBuildPackages(_ value: ConfigNode) throws(ConfigError) {
        for item in try value.items() {
            if let package = try item.optionalText() { buildPackages.append(package) }
        }
    }

    private mutating func readReplicas(_ value: ConfigNode) throws(ConfigError) {
        let range = 0...1_024
        guard value.isMapping else {
            let count = try value.integer(in: 1...range.upperBound)
            lines["replicas.min"] = value.line
            replicas = ReplicaRange(min: count, max: count)
            return
        }
        var min: Int?
        var max: Int?
        for entry in try nested(value, "replicas", known: Self.replicasKeys) {
            if entry.key == "min" {
                min = try entry.value.integer(in: range)
            } else {
                max = try entry.value.integer(in: 1...range.upperBound)
            }
        }
        let least = min ?? 1
        replicas = ReplicaRange(min: least, max: max ?? Swift.max(least, 1))
        if replicas.max < replicas.min {
            throw value.failure("\(value.path): max \(replicas.max) is below min \(replicas.min)")
        }
    }

    private mutating func readBatch(_ value: ConfigNode) throws(ConfigError) {
        var batch = BatchConfig(sizeMax: 8)
        for entry in try nested(value, "batch", known: Self.batchKeys) {
            switch entry.key {
            case "max_size": batch.sizeMax = try entry.value.integer(in: 1...1_024)
            case "max_wait": batch.waitMax = try entry.value.duration(in: .zero...Duration.seconds(60))
            default: batch.retry = try entry.value.boolean()
            }
        }
        self.batch = batch
    }

    private mutating func readTimeout(_ value: ConfigNode) throws(ConfigError) {
        for entry in try nested(value, "timeout", known: Self.timeoutKeys) {
            let duration = try entry.value.duration(in: Self.durations)
            switch entry.key {
            case "build": timeout.build = duration
            case "start": timeout.start = duration
            case "call": timeout.call = duration
            default: timeout.idle = duration
            }
        }
    }

    private mutating func readWarmup(_ value: ConfigNode) throws(ConfigError) {
        let entries = try nested(value, "warmup", known: Self.warmupKeys)
        guard entries.count <= 1 else { throw value.failure("\(value.path): give input or file, not both") }
        for entry in entries {
            if entry.key == "input" {
                warmup = .input(try entry.value.text())
                continue
            }
            guard let path = try entry.value.optionalText() else { continue }
            guard Self.staysInside(path) else {
                throw entry.value.mismatch("a file inside handler.dir, such as sample.png")
            }
            warmup = .file(path)
        }
    }

    private mutating func readPreload(_ value: ConfigNode) throws(ConfigError) {
        for item in try value.items() {
            let name = try item.optionalText() ?? ""
            guard name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy({ Self.isIdentifier($0) })
            else { throw item.mismatch("the name of a module, such as numpy or torch.nn") }
            preload.append(name)
        }
    }

    private mutating func readContainer(_ value: ConfigNode) throws(ConfigError) {
        for entry in try nested(value, "container", known: Self.containerKeys) {
            switch entry.key {
            case "user": container.user = try entry.value.optionalText()
            case "read_only": container.hasReadOnlyRoot = try entry.value.boolean()
            case "capabilities":
                for item in try entry.value.items() {
                    guard let name = try item.optionalText() else { continue }
                    guard Self.isIdentifier(name) else { throw item.mismatch("a capability, such as NET_BIND_SERVICE") }
                    container.capabilities.append(name)
                }
            case "new_privileges": container.mayGainPrivileges = try entry.value.boolean()
            case "pids": container.pidsMax = try entry.value.integer(in: 16...4_194_304)
            case "tmp": container.temporaryBytes = try entry.value.size(in: (1 << 20)...(16 << 40))
            default: container.network = try entry.value.optionalText()
            }
        }
    }

    private mutating func readSecrets(_ value: ConfigNode) throws(ConfigError) {
        for item in try value.items() {
            let name = try item.optionalText() ?? ""
            guard Self.isSecretName(name) else {
                throw item.mismatch("the name of a secret: letters, digits, '.', '-' and '_', with no '.' at the start")
            }
            guard !secrets.contains(name) else { throw item.failure("\(item.path): \(name) appears twice; keep one") }
            secrets.append(name)
        }
    }

    private mutating func readConstraints(_ value: ConfigNode) throws(ConfigError) {
        for item in try value.items() {
            let text = try item.optionalText() ?? ""
            guard text.contains("==") || text.contains("!=") else {
                throw item.mismatch("a constraint, such as node.role==worker or node.labels.disk!=slow")
            }
            constraints.append(text)
        }
    }

    /// Whether a text is the name of a secret: it can be the name of a file, and it cannot be a path.
    package static func isSecretName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 128 && !text.hasPrefix(".")
            && text.unicodeScalars.allSatisfy {
                $0.isASCII
                    && ($0.properties.isAlphabetic || ("0"..."9").contains($0) || "._-".unicodeScalars.contains($0))
            }
    }

    /// Whether a relative path stays inside the folder that it starts from.
    private static func staysInside(_ path: String) -> Bool {
        !path.hasPrefix("/") && !path.split(separator: "/").contains("..")
    }

    /// Reads a list of `NAME=VALUE`. With `reserved`, refuses the names that the gateway sets itself.
    private static func variables(_ list: ConfigNode, reserved: Bool) throws(ConfigError) -> [EnvironmentVariable] {
        var variables: [EnvironmentVariable] = []
        var names = Set<String>()
        for item in try list.items() {
            let text = try item.text()
            guard let equals = text.firstIndex(of: "="), isIdentifier(String(text[..<equals])) else {
                throw item.mismatch("NAME=VALUE")
            }
            let name = String(text[..<equals])
            if reserved, name.hasPrefix("DCF_") || ["HANDLER_DIR", "HANDLER_FILE", "HANDLER_NAME"].contains(name) {
                throw item.failure("\(item.path): \(name) is set by the gateway itself; choose another name")
            }
            guard names.insert(name).inserted else {
                throw item.failure("\(item.path): \(name) appears twice; keep one")
            }
            variables.append(EnvironmentVariable(name: name, value: String(text[text.index(after: equals)...])))
        }
        return variables
    }

    /// Whether a text is an ASCII identifier, as in Python and shells.
    private static func isIdentifier(_ text: some StringProtocol) -> Bool {
        guard let first = text.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else {
            return false
        }
        return text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
    }
}
