// Numbers with units, as people write them in a config.

/// A number of bytes with a unit. The units `K`, `M`, `G` and `T`, alone or followed by `B`, `i` or `iB`, are powers of
/// 1024, as in Docker. A plain number is bytes.
package enum ByteSize {
    private static let units: [(letter: Character, bytes: UInt64)] = [
        ("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40),
    ]

    /// Reads texts such as `64MiB`, `2G`, `1.5g` and `1048576`. Nil for other texts, and above 2^60.
    package static func bytes(of text: String) -> UInt64? {
        var rest = Substring(text.uppercased())
        var factor: UInt64 = 1
        if rest.hasSuffix("IB") {
            rest = rest.dropLast(2)
            guard let unit = unit(endingIn: rest) else { return nil }
            (rest, factor) = (rest.dropLast(), unit)
        } else {
            if rest.hasSuffix("B") || rest.hasSuffix("I") {
                let shorter = rest.dropLast()
                if unit(endingIn: shorter) == nil, rest.hasSuffix("I") { return nil }
                rest = shorter
            }
            if let unit = unit(endingIn: rest) {
                (rest, factor) = (rest.dropLast(), unit)
            }
        }
        guard let number = PlainDecimal.value(of: rest) else { return nil }
        let bytes = (number * Double(factor)).rounded()
        return bytes <= Double(UInt64(1) << 60) ? UInt64(bytes) : nil
    }

    private static func unit(endingIn text: Substring) -> UInt64? {
        units.first { $0.letter == text.last }?.bytes
    }

    /// Writes texts such as `64 MiB`, `1.5 GiB` and `500 bytes`.
    package static func text(_ bytes: UInt64) -> String {
        guard let unit = units.last(where: { bytes >= $0.bytes }) else { return "\(bytes) bytes" }
        let tenths = (bytes / unit.bytes) * 10 + (bytes % unit.bytes) * 10 / unit.bytes
        let fraction = tenths % 10 == 0 ? "" : ".\(tenths % 10)"
        return "\(tenths / 10)\(fraction) \(unit.letter)iB"
    }
}

extension Duration {
    /// Reads `500ms`, `30s`, `5m` or `1h`, also with a fraction (`1.5s`). Nil for other texts.
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

    /// The shortest text that `init(text:)` reads as this duration, in whole milliseconds: `500ms`, `30s`, `5m`, `1h`.
    package var text: String {
        let (seconds, attoseconds) = components
        let milliseconds = seconds * 1_000 + attoseconds / 1_000_000_000_000_000
        if milliseconds % 1_000 != 0 { return "\(milliseconds)ms" }
        if milliseconds == 0 || seconds % 60 != 0 { return "\(seconds)s" }
        return seconds % 3_600 == 0 ? "\(seconds / 3_600)h" : "\(seconds / 60)m"
    }
}

/// A decimal number of digits and at most one point, without sign, exponent or blanks.
enum PlainDecimal {
    static func value(of text: some StringProtocol) -> Double? {
        var points = 0
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): continue
            case UInt8(ascii: "."): points += 1
            default: return nil
            }
        }
        guard points <= 1, let first = text.first, first != ".", text.last != "." else { return nil }
        return Double(String(text))
    }
}
