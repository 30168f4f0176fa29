/// What of the core's log is written, and how. A value; times are given to it.
package struct CoreLogFilter: Sendable {
    /// Lines in a second.
    package static let linesMax = 10
    /// A longer record is cut, in bytes.
    package static let bytesMax = 1_000
    private static let second: Int64 = 1_000_000_000

    private var began = MonotonicTime(nanoseconds: 0)
    private var lines = 0
    private var unsaid = 0

    package init() {}

    /// The line for a record; nil where there were too many.
    package mutating func line(_ text: String, at now: MonotonicTime) -> String? {
        if lines == 0 || now.nanoseconds(since: began) >= Self.second { (began, lines) = (now, 0) }
        guard lines < Self.linesMax else {
            unsaid += 1
            return nil
        }
        lines += 1
        defer { unsaid = 0 }
        let others = unsaid == 0 ? "" : " (\(unsaid) records before it were not written)"
        return Self.escaped(text) + others
    }

    /// One line, whatever is in it.
    static func escaped(_ text: String) -> String {
        var line = ""
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029: line += "\\u{\(String(scalar.value, radix: 16))}"
            default: line.unicodeScalars.append(scalar)
            }
            if line.utf8.count > bytesMax { return line + "..." }
        }
        return line
    }
}
