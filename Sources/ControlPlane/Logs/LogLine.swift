/// One line of a function's log: `2026-01-02T03:04:05.678Z 1 stdout 4f2a text`.
struct LogLine: Sendable {
    /// The text without its line end. Of a line that was too long to be kept, the beginning.
    var text: [UInt8]
    /// The length of the whole line when only its beginning was kept.
    var fullBytes = 0
    var replica: Int
    var stream: LogStream
    var requestID: String?
    /// Since 1970.
    var milliseconds: Int64

    /// The line as it stands in the file, with its end.
    var bytes: [UInt8] {
        var bytes = Array("\(LogTime.text(milliseconds)) \(replica) \(stream.rawValue) \(requestID ?? "-") ".utf8)
        bytes += text
        if fullBytes > text.count { bytes += Array(" ... (line cut: \(fullBytes) bytes in all)".utf8) }
        bytes.append(0x0A)
        return bytes
    }
}

/// Where a line of a function's log came from.
package enum LogStream: String, Sendable, Hashable {
    case stdout
    case stderr
    /// The gateway wrote it, about the function.
    case gateway
}

/// Bytes that wait to be written to a log: a whole line with its end.
struct LogEntry: Sendable {
    let bytes: [UInt8]
    /// How many lines are lost when the entry cannot be written. More than one for a note that counts other lost lines.
    let lines: Int
}
