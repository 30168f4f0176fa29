extension FunctionConfig {
    /// The keys that this function sets and that have no meaning as it is deployed, in the order of the config reference.
    package func unsupportedKeys(as kind: DeployKind) -> [UnsupportedKey] {
        var found: [UnsupportedKey] = []
        func refuse(_ key: String, _ what: String) {
            let path = "functions.\(name).\(key)"
            let line = failure(at: key, "").line ?? 1
            found.append(UnsupportedKey(key: path, line: line, message: "\(path)\(what)"))
        }
        if kind == .process {
            let what = " is for functions that are deployed as images; add \"deploy: image\", or remove it"
            if !buildArguments.isEmpty { refuse("build_args", what) }
            if !buildPackages.isEmpty { refuse("build_packages", what) }
            if skipBuild { refuse("skip_build", what) }
            if !secrets.isEmpty { refuse("secrets", what + " and use environment") }
        }
        if kind == .image {
            if !preload.isEmpty {
                refuse("preload", " is for functions that run as processes; remove it, a container starts by itself")
            }
            if python != nil {
                refuse("python", " is for functions that run as processes; the image says which Python")
            }
        }
        if concurrency > 1, batch != nil {
            refuse("concurrency", " above 1 together with batch is not supported yet; remove it")
        }
        return found
    }

    /// Throws the first of `unsupportedKeys`.
    package func requireSupported(as kind: DeployKind) throws(ConfigError) {
        if let key = unsupportedKeys(as: kind).first {
            throw ConfigError(file: fileName, line: key.line, message: key.message)
        }
    }
}
