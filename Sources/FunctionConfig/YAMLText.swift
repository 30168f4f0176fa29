import Yams

/// Parses the text of a config into a tree, and turns the parser's errors into `ConfigError`s.
enum YAMLText {
    /// The root of the only document. Nil if there is no document, or an empty one.
    static func root(of yaml: String, path: String, file: String) throws(ConfigError) -> ConfigNode? {
        guard yaml.utf8.count <= YAMLLimits.textBytesMax else {
            let sizes =
                "\(ByteSize.text(UInt64(yaml.utf8.count))); at most \(ByteSize.text(UInt64(YAMLLimits.textBytesMax)))"
            throw ConfigError(file: file, line: nil, message: "the config has \(sizes) are allowed; make it smaller")
        }
        let node: Node?
        do {
            // The basic resolver suffices: `YAMLScalar` finds the types of scalars, without regular expressions.
            node = try compose(yaml: yaml, .basic, .default, .utf8)
        } catch {
            throw ConfigError(error, file: file)
        }
        guard let node else { return nil }
        let root = ConfigNode(node: node, path: path, file: file, line: node.mark?.line ?? 1)
        if root.isNull { return nil }
        guard case .mapping = node else {
            throw root.failure("\(path.isEmpty ? "the config" : path) must be a mapping of keys and values")
        }
        return root
    }
}

extension ConfigError {
    fileprivate init(_ error: any Error, file: String) {
        switch error as? YamlError {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let detail = context.map { "\($0.text), " } ?? ""
            self.init(
                file: file, line: mark.line, message: "not valid YAML: \(detail)\(problem) (column \(mark.column))")
        case .duplicatedKeysInMapping(let duplicates, let context):
            let keys = duplicates.map(\.quoted).joined(separator: ", ")
            self.init(file: file, line: context.mark.line, message: "the key \(keys) appears twice; keep one")
        case .reader(let problem, let offset, _, let yaml):
            let line = offset.map { yaml.prefix($0).count { $0.isNewline } + 1 }
            self.init(file: file, line: line, message: "not valid YAML: \(problem)")
        default:
            self.init(file: file, line: nil, message: "not valid YAML: \(error)")
        }
    }
}

/// Limits against configs that are small as text and huge in memory: aliases multiply the content.
enum YAMLLimits {
    /// The most UTF-8 bytes of a whole config.
    static let textBytesMax = 1 << 20
    /// The deepest nesting of mappings and lists.
    static let depthMax = 100
    /// The most nodes of one function's config, with aliases resolved.
    static let nodesMax = 100_000
}
