package import SystemPackage

/// A failed call to the file system: what was tried, on which path, and the system's reason.
package struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was tried, as a verb: `open`, `write`.
    package let operation: String
    package let path: String
    package let code: Errno

    package init(_ operation: String, _ path: String, _ code: Errno) {
        self.operation = operation
        self.path = path
        self.code = code
    }

    /// Whether no more can be written because the disk, or the user's share of it, is full.
    package var isDiskFull: Bool { code == .noSpace || code == .diskQuotaExceeded }

    package var description: String {
        isDiskFull
            ? "cannot \(operation) \(path.quotedName): the disk is full"
            : "cannot \(operation) \(path.quotedName): \(code)"
    }
}

extension String {
    /// The text in double quotes, for one line of an error: control characters are escaped, and the middle of a long
    /// text is left out.
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
