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
        if !buildArguments.isEmpty { refuse("build_args") }
        if !buildPackages.isEmpty { refuse("build_packages") }
        if skipBuild { refuse("skip_build") }
        if concurrency > 1, batch != nil { refuse("concurrency", " above 1 together with batch") }
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
