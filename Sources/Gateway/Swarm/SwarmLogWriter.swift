internal import Engine
internal import Locks

/// Puts what the tasks of a service write into its function's log.
final class SwarmLogWriter: Sendable {
    private struct Key: Hashable {
        var task: String
        var isError: Bool
    }

    private let log: FunctionLog
    private let readers = Lock<[Key: LogLineReader]>([:])

    init(_ log: FunctionLog) {
        self.log = log
    }

    /// - Parameter replica: nil where nobody knows yet.
    func write(_ line: SwarmLogLine, replica: Int?) {
        let isError = line.output == .standardError
        let key = Key(task: line.task, isError: isError)
        let prefix = replica == nil ? Array("task \(line.task.prefix(12)): ".utf8) : []
        var found: [LogLineReader.Line] = []
        readers.withLock { readers in
            var reader = readers[key] ?? LogLineReader(lineBytes: FunctionLogLimits().lineBytes)
            line.text.withUnsafeBytes { reader.add($0) { found.append($0) } }
            // One that ended with its line has nothing left to keep.
            readers[key] = line.text.last == 0x0A ? nil : reader
        }
        for each in found {
            log.append(
                prefix + each.text, replica: replica ?? 0, stream: isError ? .stderr : .stdout,
                requestID: each.requestID, fullBytes: each.fullBytes)
        }
    }
}
