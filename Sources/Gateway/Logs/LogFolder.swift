/// Where the functions' logs lie: a folder each.
final class LogFolder: Sendable {
    private let path: String
    private let limits: FunctionLogLimits
    let writers: LogWriters

    init(path: String, limits: Limits) {
        self.path = path
        self.limits = FunctionLogLimits(limits)
        writers = LogWriters(threadsMax: limits.logWriters)
    }

    func log(of function: String) -> FunctionLog {
        FunctionLog(folder: "\(path)/\(function)", limits: limits, writers: writers)
    }
}

extension FunctionLogLimits {
    init(_ limits: Limits) {
        self.init()
        lineBytes = limits.logLineBytes
        fileBytes = limits.logFileBytes
        files = limits.logFiles
        bytesPerSecond = limits.logRateBytes
        queueBytes = limits.logQueueBytes
    }
}
