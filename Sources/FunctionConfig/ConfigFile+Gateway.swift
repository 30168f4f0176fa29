extension ConfigFile {
    /// Reads `dcf.gateway` alone: the rest may be wrong, or be no config of ours at all.
    package static func gateway(yaml: String, fileName: String) throws(ConfigError) -> String? {
        guard let root = try YAMLText.root(of: yaml, path: "", file: fileName),
            let section = try root.entries().first(where: { $0.key == "dcf" })
        else { return nil }
        return try gateway(section.value)
    }
}
