internal import Glibc
internal import Locks
package import Logging

/// Has the lines of swift-log's loggers written by an ``OutputLog``: `2026-01-02T03:04:05+0000 info dcf-gateway: [Gateway] text`.
package struct OutputLogHandler: LogHandler {
    package var logLevel = Logger.Level.info
    package var metadata = Logger.Metadata()
    private let label: String
    private let output: OutputLog

    package init(label: String, output: OutputLog) {
        self.label = label
        self.output = output
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        assertNoLockIsHeld()
        let all = metadata.merging(event.metadata ?? [:]) { $1 }
        let pairs = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        output.write(Self.line(event.level, label, "\(pairs) [\(event.source)] \(event.message)"))
    }

    /// - Parameter rest: what follows the label.
    package static func line(_ level: Logger.Level, _ label: String, _ rest: String) -> String {
        "\(timestamp()) \(level) \(label):\(rest)\n"
    }

    private static func timestamp() -> String {
        var (now, parts) = (time(nil), tm())
        guard localtime_r(&now, &parts) != nil else { return "<unknown>" }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { text in
            guard let base = text.baseAddress, strftime(base, text.count, "%Y-%m-%dT%H:%M:%S%z", &parts) > 0 else {
                return "<unknown>"
            }
            return String(cString: base)
        }
    }
}
