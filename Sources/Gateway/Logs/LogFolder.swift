internal import Environments

/// Where the functions' logs lie: a folder each.
final class LogFolder: Sendable {
    private let path: String

    init(path: String) {
        self.path = path
    }

    func log(of function: String) -> FunctionLog {
        FunctionLog(folder: "\(path)/\(function)")
    }

    /// Removes a function's log.
    func remove(_ function: String) {
        // A log that stays does no harm.
        try? Folder.remove("\(path)/\(function)")
    }
}
