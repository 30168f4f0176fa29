extension FunctionConfig {
    /// Keys that say how an image is built, and nothing where the function runs as a process.
    private static let buildKeys = ["build_args", "build_packages"]

    /// The same function less what says how its image is built: one config serves both kinds, unless it says in so many words
    /// which it is.
    ///
    /// - Returns: with the keys that were left out, by their path in the config.
    package func asProcess() -> (function: FunctionConfig, ignored: [String]) {
        guard deploy == nil else { return (self, []) }
        let ignored = Self.buildKeys.filter { lines[$0] != nil }
        var changed = self
        changed.buildArguments = []
        changed.buildPackages = []
        // In what `YAMLWriter` writes, a key of the function begins a line, and what belongs to it does not begin with a letter.
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
}
