extension String {
    /// The text in double quotes for a message, with control characters escaped, and cut after 80 characters.
    package var quoted: String {
        let shownMax = 80
        var result = "\""
        for (index, scalar) in unicodeScalars.enumerated() {
            if index == shownMax {
                result += "..."
                break
            }
            switch scalar {
            case "\"", "\\":
                result.unicodeScalars.append("\\")
                result.unicodeScalars.append(scalar)
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if scalar.isControl {
                    result += scalar.escapedAsHexadecimal
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }

    /// The text as a JSON string, which is also a double-quoted YAML scalar.
    package var asJSONString: String {
        var result = "\""
        for scalar in unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if scalar.isControl || scalar == "\u{2028}" || scalar == "\u{2029}" || scalar == "\u{FEFF}" {
                    result += scalar.escapedAsHexadecimal
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }
}

extension Unicode.Scalar {
    /// A C0 or C1 control character, or DEL.
    fileprivate var isControl: Bool { value < 0x20 || (0x7F..<0xA0).contains(value) }

    /// `\u` and four hexadecimal digits. Only for scalars of the basic plane.
    fileprivate var escapedAsHexadecimal: String {
        let digits = String(value, radix: 16)
        return "\\u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}
