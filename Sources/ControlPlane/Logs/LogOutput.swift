internal import Platform

/// The two pipes that a process writes to, and their way into a function's log.
struct LogOutput: Sendable {
    /// How long the last lines may take until they are in the log. A disk that stands still delays nobody longer.
    private static let endTime = Duration.seconds(2)

    /// The lines that were written last.
    let last = LastLines()
    private let logs: LogPump
    private let log: FunctionLog
    private let replica: Int
    private var pipes: [UInt64] = []
    private var ends: [Promise<Void>] = []

    init(to log: FunctionLog, replica: Int, through logs: LogPump) {
        self.log = log
        self.replica = replica
        self.logs = logs
    }

    /// Makes a pipe.
    ///
    /// - Returns: the end that the process writes to.
    mutating func makePipe(_ stream: LogStream) throws(FileError) -> OwnedDescriptor {
        let end = Promise<Void>()
        let pipe = try logs.makePipe(to: log, replica: replica, stream: stream, &pipes, last: last) { end.settle(()) }
        ends.append(end)
        return pipe
    }

    /// Reads the rest of the output, and returns when it is in the log. A process that the replica started may still
    /// hold the pipes open.
    func finish() async {
        for pipe in pipes { logs.finish(pipe) }
        await within(Self.endTime) { [ends] in
            for end in ends { _ = await end.value() }
        }
    }
}

/// The last lines that a process wrote to all its pipes. Messages about its end quote them. Any thread may use it.
package final class LastLines: Sendable {
    /// The most lines that are kept, and the most bytes of each.
    private static let linesMax = 20
    private static let lineBytesMax = 300
    /// The lines go along with a status and must fit into a few kilobytes of metadata.
    private static let bytesMax = 2_000

    private let lines = Lock<[String]>([])

    package init() {}

    package func add(_ line: some Collection<UInt8>) {
        var text = String(decoding: line.prefix(Self.lineBytesMax), as: UTF8.self)
        if line.count > Self.lineBytesMax { text += "..." }
        lines.withLock { lines in
            if lines.count == Self.linesMax { lines.removeFirst() }
            lines.append(text)
        }
    }

    /// The lines that are kept, the oldest first.
    package var all: [String] { lines.withLock { $0 } }

    /// The last of these lines that fit, without blank ones and without those that the traceback contains.
    package static func of(_ lines: [String], besides traceback: String) -> [String] {
        let said = Set(traceback.split(whereSeparator: \.isNewline).map(String.init))
        var kept: [String] = []
        var bytes = 0
        for line in lines.reversed() where !said.contains(line) && !line.allSatisfy(\.isWhitespace) {
            bytes += line.utf8.count
            if bytes > bytesMax { break }
            kept.append(line)
        }
        return kept.reversed()
    }
}
