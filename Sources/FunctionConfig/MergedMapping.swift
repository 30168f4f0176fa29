import Yams

/// The pairs of a mapping with its `<<` entries resolved. The mapping's own keys win over merged ones, and earlier
/// merges win over later ones.
enum MergedMapping {
    static func pairs(of mapping: Node.Mapping, file: String, depth: Int = 0) throws(ConfigError) -> [(Node, Node)] {
        guard mapping.contains(where: { isMerge($0.key) }) else { return mapping.map { ($0.key, $0.value) } }
        let line = mapping.mark?.line
        guard depth < YAMLLimits.depthMax else {
            throw ConfigError(
                file: file, line: line, message: "merges are nested more than \(YAMLLimits.depthMax) levels deep")
        }
        var own = Set<String>()
        for (key, _) in mapping where !isMerge(key) {
            if case .scalar(let scalar) = key { own.insert(scalar.string) }
        }
        var result: [(Node, Node)] = []
        for (key, value) in mapping {
            guard isMerge(key) else {
                result.append((key, value))
                continue
            }
            for source in try sources(of: value, file: file, line: key.mark?.line) {
                for (mergedKey, mergedValue) in try pairs(of: source, file: file, depth: depth + 1) {
                    if case .scalar(let scalar) = mergedKey, !own.insert(scalar.string).inserted { continue }
                    result.append((mergedKey, mergedValue))
                }
            }
        }
        return result
    }

    private static func isMerge(_ key: Node) -> Bool {
        guard case .scalar(let scalar) = key else { return false }
        return scalar.string == "<<" && scalar.style == .plain
    }

    private static func sources(of value: Node, file: String, line: Int?) throws(ConfigError) -> [Node.Mapping] {
        switch value {
        case .mapping(let mapping):
            return [mapping]
        case .sequence(let sequence):
            var mappings: [Node.Mapping] = []
            for item in sequence {
                guard case .mapping(let mapping) = item else { break }
                mappings.append(mapping)
            }
            if mappings.count == sequence.count { return mappings }
        default:
            break
        }
        throw ConfigError(file: file, line: line, message: "\"<<\" must merge a mapping or a list of mappings")
    }
}
