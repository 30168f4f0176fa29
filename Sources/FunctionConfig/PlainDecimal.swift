/// A decimal number with digits and at most one point: no sign, exponent or blanks.
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
