import Yams

/// Writes a YAML tree as text that reads back as the same tree: block style, with anchors and merges resolved, without
/// comments.
struct YAMLWriter {
    private var text = ""
    private var nodesLeft = YAMLLimits.nodesMax

    /// The text of a mapping that begins at column 0. `{}` for an empty mapping.
    static func text(of mapping: ConfigNode) throws(ConfigError) -> String {
        let entries = try mapping.entries()
        if entries.isEmpty { return "{}\n" }
        var writer = YAMLWriter()
        try writer.write(entries, depth: 0)
        return writer.text
    }

    private mutating func write(_ entries: [ConfigEntry], depth: Int) throws(ConfigError) {
        for entry in entries {
            indent(depth)
            text += Self.isPlainKey(entry.key) ? entry.key : entry.key.asJSONString
            text += ":"
            try writeValue(entry.value, depth: depth + 1)
        }
    }

    /// Writes what follows `key:` or `-`, to the end of the value's last line.
    private mutating func writeValue(_ value: ConfigNode, depth: Int) throws(ConfigError) {
        nodesLeft -= 1
        guard nodesLeft > 0 else {
            throw value.failure("\(value.path): there are more than \(YAMLLimits.nodesMax) values")
        }
        guard depth < YAMLLimits.depthMax + 10 else {
            throw value.failure("\(value.path) is nested more than \(YAMLLimits.depthMax) levels deep")
        }
        switch value.node {
        case .mapping:
            let entries = try value.entries()
            text += entries.isEmpty ? " {}\n" : "\n"
            try write(entries, depth: depth)
        case .sequence:
            let items = try value.items()
            text += items.isEmpty ? " []\n" : "\n"
            for item in items {
                indent(depth)
                text += "-"
                try writeValue(item, depth: depth + 1)
            }
        case .scalar(let scalar):
            text += " " + Self.text(of: scalar) + "\n"
        case .alias:
            throw value.failure("\(value.path): an alias without its anchor")
        }
    }

    private mutating func indent(_ depth: Int) {
        text += String(repeating: "  ", count: depth)
    }

    private static func text(of scalar: Node.Scalar) -> String {
        switch YAMLScalar(scalar) {
        case .null: "null"
        // A tag can change the value: `!!float 1` is 1.0.
        case .float(let number) where !scalar.tag.rawValue.isEmpty: number
        // Exactly as written: `python: 3.10` must not turn into 3.1.
        case .boolean, .integer, .float, .unbounded: scalar.string
        case .text: isPlainText(scalar.string) ? scalar.string : scalar.string.asJSONString
        case .foreign(let tag): "!<\(tag)> \(scalar.string.asJSONString)"
        }
    }

    private static func isPlainKey(_ key: String) -> Bool {
        isPlainText(key) && key != "<<"
    }

    /// Whether a YAML parser reads the text without quotes as exactly this text, wherever it stands.
    private static func isPlainText(_ text: String) -> Bool {
        guard let first = text.utf8.first, isWordByte(first), YAMLScalar.plain(text) == .text else { return false }
        return text.utf8.allSatisfy { isWordByte($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "=") }
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "/"):
            true
        default: false
        }
    }
}
