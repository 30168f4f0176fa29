/// One line of a function's log: `2026-01-02T03:04:05.678Z 1 stdout 4f2a text`.
struct LogLine: Sendable {
    /// Without its line end; of a line that was too long to be kept, the beginning.
    var text: [UInt8]
    /// How long the whole line was, where only its beginning was kept.
    var fullBytes = 0
    var replica: Int
    var stream: LogStream
    var requestID: String?
    /// Since 1970.
    var milliseconds: Int64

    /// As it stands in the file.
    var bytes: [UInt8] {
        var bytes = Array("\(LogTime.text(milliseconds)) \(replica) \(stream.rawValue) \(requestID ?? "-") ".utf8)
        bytes += text
        if fullBytes > text.count { bytes += Array(" ... (line cut: \(fullBytes) bytes in all)".utf8) }
        bytes.append(0x0A)
        return bytes
    }
}
