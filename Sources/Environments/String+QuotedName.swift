extension String {
    /// The text in double quotes, fit for one line of an error: control characters escaped, the middle of a long one left out.
    package var quotedName: String {
        var escaped = "\""
        let scalars = Array(unicodeScalars)
        let shown =
            scalars.count <= 256
            ? scalars[...] : scalars.prefix(120) + Array(" ... ".unicodeScalars) + scalars.suffix(120)
        for scalar in shown {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator:
                escaped += "\\u{" + String(scalar.value, radix: 16) + "}"
            default:
                escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped + "\""
    }
}
