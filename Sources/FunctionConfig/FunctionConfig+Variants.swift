extension FunctionConfig {
    /// Keys that matter only when an image is built.
    private static let buildKeys = ["build_args", "build_packages"]

    /// The function without the keys that matter only for its image, so that one config can serve processes and images.
    /// A function with the key `deploy` stays unchanged.
    ///
    /// - Returns: the function, and the paths of the keys that were left out.
    package func asProcess() -> (function: FunctionConfig, ignored: [String]) {
        guard kind == nil else { return (self, []) }
        let ignored = Self.buildKeys.filter { lines[$0] != nil }
        var changed = self
        changed.buildArguments = []
        changed.buildPackages = []
        // `YAMLWriter` starts a line with each key of the function. The lines of the key's value do not start with a
        // letter.
        var isLeftOut = false
        let kept = yaml.split(separator: "\n", omittingEmptySubsequences: false).filter { line in
            if let first = line.first, first.isLetter || first == "\"" {
                isLeftOut = Self.buildKeys.contains { line.hasPrefix("\($0):") }
            }
            return !isLeftOut || line.isEmpty
        }
        changed.yaml = kept.count > 1 ? kept.joined(separator: "\n") : "{}\n"
        return (changed, ignored.map { "functions.\(name).\($0)" })
    }

    /// The function with another interpreter, in `yaml` too.
    package func withPython(_ path: String) -> FunctionConfig {
        var changed = self
        changed.python = path
        // `YAMLWriter` starts a line with each key of the function, and puts a scalar on the key's line.
        let lines = yaml.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.hasPrefix("python:") ? "python: \(path.asJSONString)" : String(line)
        }
        changed.yaml = lines.joined(separator: "\n")
        return changed
    }
}
