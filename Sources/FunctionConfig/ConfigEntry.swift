/// A key of a mapping and its value.
struct ConfigEntry {
    let key: String
    let value: ConfigNode

    /// The error for a key that the schema does not know. `elsewhere` are paths of keys that belong deeper.
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
