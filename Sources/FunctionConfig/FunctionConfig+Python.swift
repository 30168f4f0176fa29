extension FunctionConfig {
    /// The same function on another interpreter, in `yaml` as well.
    package func withPython(_ path: String) -> FunctionConfig {
        var changed = self
        changed.python = path
        // In what `YAMLWriter` writes, a key of the function begins a line and a scalar ends with it.
        let lines = yaml.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.hasPrefix("python:") ? "python: \(path.asJSONString)" : String(line)
        }
        changed.yaml = lines.joined(separator: "\n")
        return changed
    }
}
