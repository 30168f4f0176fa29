extension FunctionConfig {
    /// The keys that this function sets and that cannot be deployed yet, in the order of the config reference.
    package func unsupportedKeys() -> [UnsupportedKey] {
        var found: [UnsupportedKey] = []
        func refuse(_ key: String, _ detail: String = "") {
            let path = "functions.\(name).\(key)"
            let line = failure(at: key, "").line ?? 1
            found.append(
                UnsupportedKey(key: path, line: line, message: "\(path)\(detail) is not supported yet; remove it"))
        }
        if let gpu = limits.gpu, gpu != "0" { refuse("limits.gpu") }
        if !buildArguments.isEmpty { refuse("build_args") }
        if !buildPackages.isEmpty { refuse("build_packages") }
        if skipBuild { refuse("skip_build") }
        if replicas.min == 0 {
            refuse("replicas.min", ": 0 (scaling to zero)")
        } else if replicas.min != replicas.max {
            refuse("replicas", ": min \(replicas.min) unlike max \(replicas.max) (scaling by load)")
        }
        if concurrency > 1 { refuse("concurrency", " above 1") }
        if batch != nil { refuse("batch") }
        if timeout.idle != nil { refuse("timeout.idle") }
        if deploy == .image { refuse("deploy", ": image") }
        return found
    }

    /// Throws the first of `unsupportedKeys`.
    package func requireSupported() throws(ConfigError) {
        if let key = unsupportedKeys().first {
            throw ConfigError(file: fileName, line: key.line, message: key.message)
        }
    }
}
