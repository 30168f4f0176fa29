internal import Environments

/// Where the functions' logs lie: a folder each.
final class LogFolder: Sendable {
    private let path: String

    private let limits: FunctionLogLimits

    init(path: String, limits: Limits) {
        self.path = path
        self.limits = FunctionLogLimits(limits)
    }

    func log(of function: String) -> FunctionLog {
        FunctionLog(folder: "\(path)/\(function)", limits: limits)
    }

    /// Removes a function's log.
    func remove(_ function: String) {
        // A log that stays does no harm.
        try? Folder.remove("\(path)/\(function)")
    }
}

extension FunctionLogLimits {
    init(_ limits: Limits) {
        self.init()
        lineBytes = limits.logLineBytes
        fileBytes = limits.logFileBytes
        files = limits.logFiles
        bytesPerSecond = limits.logRateBytes
    }
}
