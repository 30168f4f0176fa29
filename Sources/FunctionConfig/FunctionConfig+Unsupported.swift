extension FunctionConfig {
    /// The keys that this function sets but that do not work with this kind of deploy, in the order of the config
    /// reference.
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
                refuse(
                    "preload", " is for functions that run as processes; remove it: each container starts on its own")
            }
            if python != nil {
                refuse("python", " is for functions that run as processes; remove it: the image has its own Python")
            }
        }
        if concurrency > 1, batch != nil {
            refuse("concurrency", " above 1 together with batch is not supported yet; remove it")
        }
        return found
    }

    /// Throws an error for the first of `unsupportedKeys`, if any.
    package func requireSupported(as kind: DeployKind) throws(ConfigError) {
        if let key = unsupportedKeys(as: kind).first {
            throw ConfigError(file: fileName, line: key.line, message: key.message)
        }
    }
}

/// A key that is valid but does not work with the chosen kind of deploy.
package struct UnsupportedKey: Sendable, Equatable {
    /// The path of the key: `functions.echo.batch`.
    package let key: String
    /// The line in the text that was read, from 1.
    package let line: Int
    /// The complete error text.
    package let message: String
}
