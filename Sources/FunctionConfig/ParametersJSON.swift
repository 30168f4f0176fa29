import Yams

/// Writes a YAML tree as JSON. Each scalar keeps its type.
struct ParametersJSON {
    private let file: String
    private(set) var text = ""
    private var nodesLeft = YAMLLimits.nodesMax

    /// The JSON of a mapping.
    static func text(of mapping: ConfigNode) throws(ConfigError) -> String {
        guard case .mapping = mapping.node else { throw mapping.mismatch("a mapping") }
        var writer = ParametersJSON(file: mapping.file)
        try writer.write(mapping, depth: 0)
        return writer.text
    }

    private init(file: String) {
        self.file = file
    }

    private mutating func write(_ value: ConfigNode, depth: Int) throws(ConfigError) {
        nodesLeft -= 1
        guard nodesLeft > 0 else {
            throw value.failure("\(value.path): there are more than \(YAMLLimits.nodesMax) values")
        }
        guard depth < YAMLLimits.depthMax else {
            throw value.failure("\(value.path) is nested more than \(YAMLLimits.depthMax) levels deep")
        }
        switch value.node {
        case .mapping:
            text += "{"
            for (index, entry) in try value.entries().enumerated() {
                if index > 0 { text += "," }
                text += entry.key.asJSONString + ":"
                try write(entry.value, depth: depth + 1)
            }
            text += "}"
        case .sequence:
            text += "["
            for (index, item) in try value.items().enumerated() {
                if index > 0 { text += "," }
                try write(item, depth: depth + 1)
            }
            text += "]"
        case .scalar(let scalar):
            try write(scalar, of: value)
        case .alias:
            throw value.failure("\(value.path): an alias without its anchor")
        }
    }

    private mutating func write(_ scalar: Node.Scalar, of value: ConfigNode) throws(ConfigError) {
        switch YAMLScalar(scalar) {
        case .null: text += "null"
        case .boolean(let flag): text += flag ? "true" : "false"
        case .integer(let digits): text += digits
        case .float(let number): text += number
        case .text: text += scalar.string.asJSONString
        case .unbounded:
            throw value.failure(
                "\(value.path): \(scalar.string) cannot be a parameter; put it in quotes to pass it as text")
        case .foreign(let tag):
            throw value.failure("\(value.path): the tag \(tag.quoted) cannot be used in parameters; remove it")
        }
    }
}
