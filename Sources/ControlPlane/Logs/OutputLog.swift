internal import CLinux
internal import Glibc
package import Logging
internal import Platform

/// Writes the gateway's own log to a descriptor, usually standard error. Any thread may use it.
///
/// Logging never waits, even when nothing reads the descriptor: lines wait in memory for a thread that writes them. A
/// line for which there is no room is dropped and counted. When lines can be written again, a line with the count is
/// written.
package final class OutputLog: @unchecked Sendable {
    // @unchecked: `batch` belongs to the thread.
    private struct State {
        var lines: [[UInt8]] = []
        var bytes = 0
        var dropped = 0
        /// Whether the thread rests and has not been woken.
        var isResting = false
        var isStarted = false
        /// How many threads wait in `flush`.
        var flushing = 0
    }

    private let descriptor: Int32
    private let bytesMax: Int
    private let describe: @Sendable (_ dropped: Int) -> String
    private let state = Lock(State())
    private let wakeup = Semaphore()
    private let emptied = Semaphore()

    /// - Parameters:
    ///   - bytesMax: how many bytes may wait.
    ///   - describe: makes the line with the count of dropped lines.
    package init(
        descriptor: Int32 = STDERR_FILENO, bytesMax: Int = 1 << 20, describe: @escaping @Sendable (Int) -> String
    ) {
        self.descriptor = descriptor
        self.bytesMax = bytesMax
        self.describe = describe
    }

    /// - Parameter line: the line with its end.
    package func write(_ line: String) {
        let bytes = Array(line.utf8)
        let (wakes, starts) = state.withLock { state in
            guard state.lines.isEmpty || state.bytes + bytes.count <= bytesMax else {
                state.dropped += 1
                return (false, false)
            }
            state.lines.append(bytes)
            state.bytes += bytes.count
            defer {
                state.isResting = false
                state.isStarted = true
            }
            return (state.isResting, !state.isStarted)
        }
        if wakes { wakeup.post() }
        if starts, !Thread.detached(name: "own-log", { [self] in run() }) { state.withLock { $0.isStarted = false } }
    }

    /// Waits until everything is written. It is for the end of the process.
    ///
    /// - Returns: whether everything was written within `limit`.
    @discardableResult
    package func flush(within limit: Duration) -> Bool {
        let isEmpty = state.withLock { state in
            guard state.isStarted, !state.isResting else { return state.lines.isEmpty }
            state.flushing += 1
            return false
        }
        return isEmpty || emptied.wait(atMost: limit)
    }

    private func run() {
        while true {
            let (batch, dropped, flushing) = state.withLock { state -> ([[UInt8]], Int, Int) in
                if state.lines.isEmpty, state.dropped == 0 {
                    state.isResting = true
                    defer { state.flushing = 0 }
                    return ([], 0, state.flushing)
                }
                defer { (state.lines, state.bytes, state.dropped) = ([], 0, 0) }
                return (state.lines, state.dropped, 0)
            }
            for line in batch { write(all: line) }
            if dropped > 0 { write(all: Array(describe(dropped).utf8)) }
            guard batch.isEmpty, dropped == 0 else { continue }
            for _ in 0..<flushing { emptied.post() }
            wakeup.wait()
        }
    }

    /// Waits for the reader of the descriptor when there is no room.
    private func write(all bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                dcf_wait_writable(descriptor)
            } else if errno != EINTR {
                // The descriptor has no reader any more.
                return
            }
        }
    }
}

/// Gives the lines of swift-log's loggers to an ``OutputLog``:
/// `2026-01-02T03:04:05+0000 info dcf-gateway: [Gateway] text`.
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

    /// - Parameter rest: the text after the label.
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
