import Yams

/// The type and value of a scalar, by the core schema of YAML 1.2: `yes` and `on` are text, `0o17` is a number, `017`
/// is 17.
enum YAMLScalar: Equatable {
    case null
    case boolean(Bool)
    /// Decimal digits, possibly after a `-`.
    case integer(String)
    /// A JSON number with a point or an exponent.
    case float(String)
    /// `.inf`, `-.inf` or `.nan`: numbers that JSON cannot represent.
    case unbounded
    case text
    /// A tag that is not in the core schema, or that does not fit the value.
    case foreign(tag: String)

    init(_ scalar: Node.Scalar) {
        let tag = scalar.tag.rawValue
        if tag.isEmpty || tag == Tag.Name.implicit.rawValue {
            self = scalar.style == .plain || scalar.style == .any ? Self.plain(scalar.string) : .text
            return
        }
        let plain = Self.plain(scalar.string)
        switch (tag, plain) {
        case (Tag.Name.str.rawValue, _), (Tag.Name.nonSpecific.rawValue, _): self = .text
        case (Tag.Name.null.rawValue, .null), (Tag.Name.bool.rawValue, .boolean), (Tag.Name.int.rawValue, .integer),
            (Tag.Name.float.rawValue, .float), (Tag.Name.float.rawValue, .unbounded):
            self = plain
        case (Tag.Name.float.rawValue, .integer(let digits)): self = .float(digits + ".0")
        default: self = .foreign(tag: tag)
        }
    }

    /// Reads a scalar without quotes and tag.
    static func plain(_ text: String) -> YAMLScalar {
        switch text {
        case "", "~", "null", "Null", "NULL": .null
        case "true", "True", "TRUE": .boolean(true)
        case "false", "False", "FALSE": .boolean(false)
        default: number(text) ?? .text
        }
    }

    private static func number(_ text: String) -> YAMLScalar? {
        for (prefix, radix) in [("0x", 16), ("0o", 8)] where text.hasPrefix(prefix) {
            let digits = text.dropFirst(2)
            guard digits.first != "-", digits.first != "+", let value = UInt64(digits, radix: radix) else { return nil }
            return .integer(String(value))
        }
        var rest = Substring(text)
        var sign = ""
        if let first = rest.first, first == "-" || first == "+" {
            sign = first == "-" ? "-" : ""
            rest = rest.dropFirst()
        }
        switch rest {
        case ".inf", ".Inf", ".INF": return .unbounded
        case ".nan", ".NaN", ".NAN": return sign.isEmpty && rest.count == text.count ? .unbounded : nil
        default: break
        }
        let whole = rest.prefix(while: \.isDigit)
        rest = rest.dropFirst(whole.count)
        if rest.isEmpty { return whole.isEmpty ? nil : .integer(sign + withoutLeadingZeros(whole)) }
        return fraction(rest, sign: sign, whole: whole)
    }

    /// Reads the part of a number after its whole digits: `.5`, `.5e3`, `e-3`.
    private static func fraction(_ text: Substring, sign: String, whole: Substring) -> YAMLScalar? {
        var rest = text
        var decimals = Substring("0")
        if rest.first == "." {
            rest = rest.dropFirst()
            decimals = rest.prefix(while: \.isDigit)
            rest = rest.dropFirst(decimals.count)
            if decimals.isEmpty {
                if whole.isEmpty { return nil }
                decimals = "0"
            }
        } else if whole.isEmpty {
            return nil
        }
        let mantissa = sign + withoutLeadingZeros(whole) + "." + decimals
        if rest.isEmpty { return .float(mantissa) }
        guard rest.first == "e" || rest.first == "E" else { return nil }
        rest = rest.dropFirst()
        var exponentSign = ""
        if let first = rest.first, first == "-" || first == "+" {
            exponentSign = String(first)
            rest = rest.dropFirst()
        }
        guard !rest.isEmpty, rest.allSatisfy(\.isDigit) else { return nil }
        return .float(mantissa + "e" + exponentSign + rest)
    }

    private static func withoutLeadingZeros(_ digits: Substring) -> String {
        let significant = digits.drop { $0 == "0" }
        return significant.isEmpty ? "0" : String(significant)
    }
}

extension Character {
    /// Whether this is one of 0 to 9. Other Unicode digits do not count.
    fileprivate var isDigit: Bool { ("0"..."9").contains(self) && utf8.count == 1 }
}
