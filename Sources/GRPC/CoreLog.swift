internal import CGRPC
package import Platform

/// The core's own log. By default the core writes it to standard error, which may block, and it may contain any bytes
/// that a peer has sent.
package enum CoreLog {
    private struct Sink {
        var write: (@Sendable (String) -> Void)?
        var filter = CoreLogFilter()
    }

    private static let sink = Lock(Sink())

    /// Sends the log to `write` from now on: one line for each record, with control characters escaped, at most a few
    /// lines a second. Further records are counted.
    ///
    /// - Parameter write: called on any thread, also on threads of the core, which may hold the core's locks. It must
    ///   not block or ask the core for anything. Nil drops every record.
    package static func redirect(to write: (@Sendable (String) -> Void)?) {
        sink.withLock { $0.write = write }
        gpr_set_log_function { record in
            guard let record = record?.pointee else { return }
            let severity = String(cString: gpr_log_severity_string(record.severity))
            let file = record.file.map { String(cString: $0) } ?? "?"
            let message = record.message.map { String(cString: $0) } ?? ""
            CoreLog.write("\(severity) \(file):\(record.line): \(message)")
        }
    }

    private static func write(_ text: String) {
        let (write, line) = sink.withLock { sink in
            (sink.write, sink.write == nil ? nil : sink.filter.line(text, at: .now))
        }
        if let write, let line { write(line) }
    }
}

/// Decides which records of the core's log are written, and how. A value: the caller passes times.
package struct CoreLogFilter: Sendable {
    /// The most lines in a second.
    package static let linesMax = 10
    /// How many bytes of a longer record are written.
    package static let bytesMax = 1_000
    private static let second: Int64 = 1_000_000_000

    private var began = MonotonicTime(nanoseconds: 0)
    private var lines = 0
    private var suppressed = 0

    package init() {}

    /// The line for a record; nil where there were too many.
    package mutating func line(_ text: String, at now: MonotonicTime) -> String? {
        if lines == 0 || now.nanoseconds(since: began) >= Self.second { (began, lines) = (now, 0) }
        guard lines < Self.linesMax else {
            suppressed += 1
            return nil
        }
        lines += 1
        defer { suppressed = 0 }
        let others = suppressed == 0 ? "" : " (\(suppressed) records before it were not written)"
        return Self.escaped(text) + others
    }

    /// The text as one line, with everything escaped that could break it.
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
