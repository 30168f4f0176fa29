extension Duration {
    /// Reads `500ms`, `30s`, `5m`, `1h`, also with a fraction (`1.5s`); nil for anything else.
    package init?(text: String) {
        let units: [(suffix: String, milliseconds: Double)] = [
            ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000),
        ]
        guard let unit = units.first(where: { text.hasSuffix($0.suffix) }) else { return nil }
        guard let number = PlainDecimal.value(of: text.dropLast(unit.suffix.count)) else { return nil }
        let milliseconds = (number * unit.milliseconds).rounded()
        guard milliseconds < 1e15 else { return nil }
        self = .milliseconds(Int64(milliseconds))
    }

    /// The shortest form that `init(text:)` reads, to the millisecond: `500ms`, `30s`, `5m`, `1h`.
    package var text: String {
        let (seconds, attoseconds) = components
        let milliseconds = seconds * 1_000 + attoseconds / 1_000_000_000_000_000
        if milliseconds % 1_000 != 0 { return "\(milliseconds)ms" }
        if milliseconds == 0 || seconds % 60 != 0 { return "\(seconds)s" }
        return seconds % 3_600 == 0 ? "\(seconds / 3_600)h" : "\(seconds / 60)m"
    }
}
