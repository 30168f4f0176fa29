internal import CGRPC
internal import Locks

/// What the core itself has to say. By default the core writes that to standard error, which may block, with whatever bytes a peer
/// sent.
package enum CoreLog {
    private struct Sink {
        var write: (@Sendable (String) -> Void)?
        var filter = CoreLogFilter()
    }

    private static let sink = Lock(Sink())

    /// Has everything go to `write` from now on, one record a line, control characters escaped, a few lines a second at most; what
    /// is more is counted.
    ///
    /// - Parameter write: called on any thread, also on those of the core, which may hold locks of its own: it must not block, nor
    ///   ask the core for anything. Nil drops everything.
    package static func redirect(to write: (@Sendable (String) -> Void)?) {
        sink.withLock { $0.write = write }
        gpr_set_log_function { record in
            guard let record = record?.pointee else { return }
            let severity = String(cString: gpr_log_severity_string(record.severity))
            let file = record.file.map { String(cString: $0) } ?? "?"
            let message = record.message.map { String(cString: $0) } ?? ""
            CoreLog.take("\(severity) \(file):\(record.line): \(message)")
        }
    }

    private static func take(_ text: String) {
        let (write, line) = sink.withLock { sink in
            (sink.write, sink.write == nil ? nil : sink.filter.line(text, at: .now))
        }
        if let write, let line { write(line) }
    }
}
