/// A number of bytes as people write it. `K`, `M`, `G`, `T`, alone or with `B`, `i` or `iB` behind, are powers of 1024,
/// as Docker reads them; a plain number is bytes.
package enum ByteSize {
    private static let units: [(letter: Character, bytes: UInt64)] = [
        ("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40),
    ]

    /// Reads `64MiB`, `2G`, `1.5g`, `1048576`; nil for anything else, and beyond 2^60.
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

    /// `64 MiB`, `1.5 GiB`, `500 bytes`.
    package static func text(_ bytes: UInt64) -> String {
        guard let unit = units.last(where: { bytes >= $0.bytes }) else { return "\(bytes) bytes" }
        let tenths = (bytes / unit.bytes) * 10 + (bytes % unit.bytes) * 10 / unit.bytes
        let fraction = tenths % 10 == 0 ? "" : ".\(tenths % 10)"
        return "\(tenths / 10)\(fraction) \(unit.letter)iB"
    }
}
