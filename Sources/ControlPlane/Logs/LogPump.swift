import CLinux
import Glibc
package import Platform
import SystemPackage

/// Reads the output of all replicas into the logs of their functions, on one thread of its own. Any thread may use it.
///
/// For each pipe it holds no more than the part of one line that is kept, however much comes. It closes a pipe that
/// ended.
package final class LogPump: Sendable {
    private struct State {
        var lastNumber: UInt64 = 0
        var added: [UInt64: LogSource] = [:]
        /// Sources to read to their end and close, although a process may still hold their pipe.
        var finishing: [UInt64] = []
        var isStopped = false
    }

    /// A log's held line is added when no line has come too fast for this time.
    private static let quiet = Duration.milliseconds(100)
    private static let quietMillis: Int32 = 100

    let heartbeat = Heartbeat("the pipes' reader")
    private let ended = Promise<Void>()
    private let poll: EventPoll
    private let state = Lock(State())

    /// Starts the thread.
    package init() throws(FileError) {
        poll = try EventPoll()
        // The thread keeps the pump alive until it is stopped.
        guard Thread.detached(name: "dcf-logs", { [self] in run() }) else {
            throw FileError("start", "the log thread", .resourceTemporarilyUnavailable)
        }
    }

    /// Reads this end of a pipe from now on.
    /// - Parameters:
    ///   - last: also gets the lines.
    ///   - onEnd: called once, on the pump's thread, when the pipe has ended and its last line is in the log.
    /// - Returns: a number for `finish`.
    @discardableResult
    package func add(
        _ pipe: consuming OwnedDescriptor, to log: FunctionLog, replica: Int, stream: LogStream, last: LastLines? = nil,
        onEnd: @escaping @Sendable () -> Void = {}
    ) throws(FileError) -> UInt64 {
        let descriptor = pipe.rawValue
        let source = LogSource(pipe: pipe, log: log, replica: replica, stream: stream, last: last, onEnd: onEnd)
        let flags = fcntl(descriptor, F_GETFL)
        guard flags >= 0, fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) == 0 else {
            throw FileError("prepare", "a replica's pipe", Errno(rawValue: errno))
        }
        return try state.withLock { state throws(FileError) in
            guard !state.isStopped else { throw FileError("watch", "a replica's pipe", .badFileDescriptor) }
            state.lastNumber += 1
            try poll.watch(descriptor, key: state.lastNumber, named: "a replica's pipe")
            state.added[state.lastNumber] = source
            return state.lastNumber
        }
    }

    /// Reads what is in the pipe now and closes it. This is for a replica that is gone, while a process that it started
    /// may still hold the pipe.
    package func finish(_ number: UInt64) {
        state.withLock { $0.finishing.append(number) }
        poll.wake()
    }

    /// How many pipes are open.
    package var count: Int { state.withLock { $0.added.count } }

    /// Has the thread read what is in the pipes now, close all of them and end. Does not wait for that.
    package func stop() {
        state.withLock { $0.isStopped = true }
        poll.wake()
    }

    /// Returns when the thread has ended, or when the task is cancelled.
    package func waitUntilStopped() async {
        _ = await ended.value()
    }

    private func run() {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        // Logs that hold a line that came too fast.
        var holding: [ObjectIdentifier: FunctionLog] = [:]
        while true {
            let timeout = holding.isEmpty ? -1 : Self.quietMillis
            heartbeat.end()
            let count = poll.wait(milliseconds: timeout)
            heartbeat.begin()
            for index in 0..<count {
                guard let number = poll.event(index)?.key, let source = state.withLock({ $0.added[number] }) else {
                    continue
                }
                if source.read(&buffer) == .ended { remove(number) }
                if source.log.holdsLine { holding[ObjectIdentifier(source.log)] = source.log }
            }
            holding = holding.filter { $0.value.appendHeldLine(after: Self.quiet) }
            let (finishing, isStopped) = state.withLock { state in
                defer { state.finishing = [] }
                return (state.isStopped ? Array(state.added.keys) : state.finishing, state.isStopped)
            }
            for number in finishing {
                guard let source = state.withLock({ $0.added[number] }) else { continue }
                source.drain(&buffer)
                remove(number)
            }
            if isStopped {
                heartbeat.end()
                return ended.settle(())
            }
        }
    }

    private func remove(_ number: UInt64) {
        guard let source = state.withLock({ $0.added.removeValue(forKey: number) }) else { return }
        // A child process that has forked without exec may hold a copy of this end, so epoll would not forget it by
        // itself.
        poll.remove(source.descriptor)
        source.end()
    }
}

extension LogPump {
    /// Makes a pipe for the output of a process. The output goes to the log.
    ///
    /// - Parameters:
    ///   - numbers: gets the pipe's number for `finish`.
    ///   - last: also gets the lines.
    ///   - onEnd: called when the last line of the pipe is in the log.
    /// - Returns: the end that the process writes to.
    package func makePipe(
        to log: FunctionLog, replica: Int, stream: LogStream, _ numbers: inout [UInt64], last: LastLines? = nil,
        onEnd: @escaping @Sendable () -> Void = {}
    ) throws(FileError) -> OwnedDescriptor {
        var ends: [CInt] = [-1, -1]
        guard dcf_pipe2(&ends, O_CLOEXEC) == 0 else {
            throw FileError("make", "a pipe for the log", Errno(rawValue: errno))
        }
        let writing = OwnedDescriptor(owning: ends[1])
        numbers.append(
            try add(
                OwnedDescriptor(owning: ends[0]), to: log, replica: replica, stream: stream, last: last, onEnd: onEnd))
        return writing
    }
}
