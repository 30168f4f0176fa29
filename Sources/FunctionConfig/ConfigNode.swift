import Yams

/// A node of the YAML tree and its place in the file. The schema reads values from nodes. Errors name file, line and
/// path.
struct ConfigNode {
    let node: Node
    /// For example `functions.echo.timeout.call`. Empty at the top level.
    let path: String
    let file: String
    /// The line of the node's key, or of the item itself in a list. From 1.
    let line: Int

    func failure(_ message: String) -> ConfigError {
        ConfigError(file: file, line: line, message: message)
    }

    func mismatch(_ expected: String) -> ConfigError {
        failure("\(path) must be \(expected), not \(kind)")
    }

    /// Whether the key has no value, or `null`.
    var isNull: Bool {
        guard case .scalar(let scalar) = node else { return false }
        return YAMLScalar(scalar) == .null
    }

    var isMapping: Bool {
        if case .mapping = node { true } else { false }
    }

    /// The kind of the value, for messages.
    private var kind: String {
        switch node {
        case .mapping: return "a mapping"
        case .sequence: return "a list"
        case .alias: return "an alias"
        case .scalar(let scalar):
            return scalar.string.isEmpty ? "empty" : scalar.string.quoted
        }
    }
}

extension ConfigNode {
    /// The text of a scalar exactly as written. Empty for null.
    func text() throws(ConfigError) -> String {
        guard case .scalar(let scalar) = node else { throw mismatch("text") }
        if isNull { return "" }
        if scalar.string.unicodeScalars.contains("\0") { throw failure("\(path) contains a NUL character") }
        return scalar.string
    }

    /// The text of a scalar. Nil if it is empty.
    func optionalText() throws(ConfigError) -> String? {
        let text = try text()
        return text.isEmpty ? nil : text
    }

    func integer(in range: ClosedRange<Int>) throws(ConfigError) -> Int {
        let expected = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        guard case .scalar(let scalar) = node, case .integer(let digits) = YAMLScalar(scalar) else {
            throw mismatch(expected)
        }
        guard let value = Int(digits), range.contains(value) else { throw mismatch(expected) }
        return value
    }

    func boolean() throws(ConfigError) -> Bool {
        guard case .scalar(let scalar) = node, case .boolean(let value) = YAMLScalar(scalar) else {
            throw mismatch("true or false")
        }
        return value
    }

    func duration(in range: ClosedRange<Duration>) throws(ConfigError) -> Duration {
        let expected = "a duration from \(range.lowerBound.text) to \(range.upperBound.text)"
        guard case .scalar(let scalar) = node else { throw mismatch("\(expected), such as 500ms, 30s, 5m or 1h") }
        guard let value = Duration(text: scalar.string) else {
            if PlainDecimal.value(of: scalar.string) != nil {
                throw failure("\(path): \(scalar.string.quoted) has no unit; did you mean \"\(scalar.string)s\"?")
            }
            throw mismatch("\(expected), such as 500ms, 30s, 5m or 1h")
        }
        guard range.contains(value) else { throw mismatch(expected) }
        return value
    }

    func size(in range: ClosedRange<UInt64>) throws(ConfigError) -> UInt64 {
        let expected = "a size from \(ByteSize.text(range.lowerBound)) to \(ByteSize.text(range.upperBound))"
        guard case .scalar(let scalar) = node, let value = ByteSize.bytes(of: scalar.string) else {
            throw mismatch("\(expected), such as 64MiB or 2G")
        }
        guard range.contains(value) else { throw mismatch(expected) }
        return value
    }

    /// The items of a list. Empty for null.
    func items() throws(ConfigError) -> [ConfigNode] {
        if isNull { return [] }
        guard case .sequence(let sequence) = node else { throw mismatch("a list") }
        var items: [ConfigNode] = []
        for (index, item) in sequence.enumerated() {
            items.append(
                ConfigNode(node: item, path: "\(path)[\(index)]", file: file, line: item.mark?.line ?? line))
        }
        return items
    }

    /// The entries of a mapping with text keys, with merges (`<<`) resolved. Empty for null.
    func entries() throws(ConfigError) -> [ConfigEntry] {
        if isNull { return [] }
        guard case .mapping(let mapping) = node else { throw mismatch("a mapping") }
        var entries: [ConfigEntry] = []
        for (key, value) in try MergedMapping.pairs(of: mapping, file: file) {
            let keyLine = key.mark?.line ?? line
            guard case .scalar(let scalar) = key else {
                throw ConfigError(file: file, line: keyLine, message: "a key \(place) is not text")
            }
            let path = self.path.isEmpty ? scalar.string : "\(self.path).\(scalar.string)"
            let child = ConfigNode(node: value, path: path, file: file, line: keyLine)
            entries.append(ConfigEntry(key: scalar.string, value: child))
        }
        return entries
    }

    /// `under functions.echo`, or `at the top level`.
    var place: String { path.isEmpty ? "at the top level" : "under \(path)" }
}

/// A key of a mapping and its value.
struct ConfigEntry {
    let key: String
    let value: ConfigNode

    /// The error for a key that is not in the schema. `elsewhere` has the paths of keys on deeper levels.
    func unknown(in mapping: ConfigNode, known: [String], elsewhere: [String] = []) -> ConfigError {
        let beginning = "unknown key \(key.quoted) \(mapping.place)"
        if let nested = elsewhere.first(where: { $0.hasSuffix(".\(key)") }) {
            return value.failure("\(beginning); did you mean \(nested.quoted)?")
        }
        if let near = Suggestion.nearest(to: key, among: known) {
            return value.failure("\(beginning); did you mean \(near.quoted)?")
        }
        return value.failure("\(beginning); known keys: \(known.joined(separator: ", "))")
    }
}
