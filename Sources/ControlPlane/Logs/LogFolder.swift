internal import FunctionConfig
internal import Glibc
internal import Platform

/// The folder of all logs. Each function's log has a folder in it.
///
/// The log of a function that is no longer deployed, or whose first deploy failed, is kept for a while. Its folder then
/// has a file `ended`. Any thread may use it.
final class LogFolder: Sendable {
    private static let endedFile = "ended"

    let writers: LogWriters
    private let path: String
    private let limits: FunctionLogLimits
    /// How long the log of a function that is not deployed is kept.
    private let keptTime: Duration
    /// Logs that this gateway has ended. Their last lines may not be on the disk yet.
    private let endedLogs = Lock<[String: FunctionLog]>([:])

    init(path: String, limits: Limits) {
        self.path = path
        self.limits = FunctionLogLimits(limits)
        writers = LogWriters(threadsMax: limits.logWriters)
        keptTime = limits.logKept
    }

    /// The log of a function that is deployed.
    func log(of function: String) -> FunctionLog {
        endedLogs.withLock { _ = $0.removeValue(forKey: function) }
        unlink(mark(function))
        return open(function)
    }

    /// The log of a function that is deployed for the first time. The log of an earlier function of this name is
    /// removed.
    func begin(_ function: String) -> FunctionLog {
        remove(function)
        return open(function)
    }

    /// Ends the log of a function that is not deployed. Its last line says why, and the log is kept for a while.
    func end(_ log: FunctionLog, of function: String, because reason: String) {
        log.append(
            text: "dcf: \(reason); it is not deployed, and its log is kept for \(keptTime.text)", replica: 0,
            stream: .gateway)
        log.close()
        endedLogs.withLock { $0[function] = log }
        markEnded(function)
    }

    /// Ends the log of a function that is not deployed when an earlier gateway process did not. Does nothing without a
    /// log.
    func endLeft(of function: String, because reason: String) {
        guard Folder.isPlainName(function), Folder.holds("\(path)/\(function)"), !Folder.holds(mark(function)) else {
            return
        }
        end(open(function), of: function, because: reason)
    }

    /// The log of a function that is not deployed; nil when it is not kept. Nothing is written to it any more.
    func ended(of function: String) -> FunctionLog? {
        guard Folder.isPlainName(function), Folder.holds(mark(function)) else { return nil }
        if let log = endedLogs.withLock({ $0[function] }) { return log }
        let log = open(function)
        log.close()
        return log
    }

    /// Removes the logs that have been kept long enough.
    func removeEnded() {
        let keptMillis = Int64(keptTime.inSeconds * 1_000)
        for function in (try? Folder.names(at: path)) ?? [] {
            guard let endedAt = Folder.modified(mark(function)) else { continue }
            if LogTime.now() - endedAt >= keptMillis { remove(function) }
        }
    }

    /// Removes a function's log.
    func remove(_ function: String) {
        guard Folder.isPlainName(function) else { return }
        if let log = endedLogs.withLock({ $0.removeValue(forKey: function) }) { log.remove() }
        // A log that cannot be removed does no harm.
        try? Folder.remove("\(path)/\(function)")
    }

    private func open(_ function: String) -> FunctionLog {
        // A name from a damaged registry must not lead out of the folder.
        FunctionLog(
            folder: Folder.isPlainName(function) ? "\(path)/\(function)" : "\(path)/.nameless", limits: limits,
            writers: writers)
    }

    private func mark(_ function: String) -> String { "\(path)/\(function)/\(Self.endedFile)" }

    private func markEnded(_ function: String) {
        guard Folder.isPlainName(function) else { return }
        try? Folder.make("\(path)/\(function)")
        // Its time is what counts; on a full disk there is room for a name still.
        _ = try? OwnedDescriptor(mark(function), flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
    }
}
