internal import Environments

/// The two pipes that a process writes to.
struct LogOutput: Sendable {
    /// How long the last lines may take into the log: a disk that stands still holds up nobody.
    private static let endTime = Duration.seconds(2)

    /// What was written last.
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

    /// The end of a new pipe that the process writes to.
    mutating func makePipe(_ stream: LogStream) throws(FileError) -> OwnedDescriptor {
        let end = Promise<Void>()
        let pipe = try logs.makePipe(to: log, replica: replica, stream: stream, &pipes, last: last) { end.settle(()) }
        ends.append(end)
        return pipe
    }

    /// Reads what is left, which something that the process started may still hold open, and returns when it is in the log.
    func finish() async {
        for pipe in pipes { logs.finish(pipe) }
        await within(Self.endTime) { [ends] in
            for end in ends { _ = await end.value() }
        }
    }
}
