import CLinux
package import Environments
import Glibc
import Locks
import SystemPackage

/// Reads the output of every replica, on one thread of its own, into the logs of their functions.
///
/// However much comes, it holds no more than a line's kept part a pipe. A pipe that ended is closed.
package final class LogPump: Sendable {
    private struct State {
        var lastNumber: UInt64 = 0
        var added: [UInt64: LogSource] = [:]
        /// Sources to be read out and closed although something may still hold their pipe.
        var finishing: [UInt64] = []
        var isStopped = false
    }

    /// How long nothing too much may have come to a log before the last line of what did is written.
    private static let quiet = Duration.milliseconds(100)
    private static let quietMillis: Int32 = 100

    let heartbeat = Heartbeat("the pipes' reader")
    private let ended = Promise<Void>()
    private let epoll: OwnedDescriptor
    private let wake: OwnedDescriptor
    private let state = Lock(State())

    /// Starts the thread.
    package init() throws(FileError) {
        let epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard epoll >= 0 else { throw FileError("make", "epoll", Errno(rawValue: errno)) }
        self.epoll = OwnedDescriptor(owning: epoll)
        let wake = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard wake >= 0 else { throw FileError("make", "eventfd", Errno(rawValue: errno)) }
        self.wake = OwnedDescriptor(owning: wake)
        var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data(u64: 0))
        guard epoll_ctl(epoll, EPOLL_CTL_ADD, wake, &event) == 0 else {
            throw FileError("watch", "eventfd", Errno(rawValue: errno))
        }
        try startThread()
    }

    /// Reads this end of a pipe from now on.
    /// - Parameters:
    ///   - last: gets the lines, too.
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
        let (number, failure) = state.withLock { state -> (UInt64, CInt) in
            state.lastNumber += 1
            var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data(u64: state.lastNumber))
            if state.isStopped { return (0, EBADF) }
            guard epoll_ctl(epoll.rawValue, EPOLL_CTL_ADD, descriptor, &event) == 0 else { return (0, errno) }
            state.added[state.lastNumber] = source
            return (state.lastNumber, 0)
        }
        guard failure == 0 else { throw FileError("watch", "a replica's pipe", Errno(rawValue: failure)) }
        return number
    }

    /// Reads what is in the pipe now and closes it, for a replica that is gone while something it started may hold the pipe.
    package func finish(_ number: UInt64) {
        state.withLock { $0.finishing.append(number) }
        wakeUp()
    }

    /// Pipes that are open.
    package var count: Int { state.withLock { $0.added.count } }

    /// Reads what is in the pipes now, closes them all and ends the thread, soon.
    package func stop() {
        state.withLock { $0.isStopped = true }
        wakeUp()
    }

    /// Returns when the thread has read the last of it; also when the task is cancelled.
    package func waitUntilStopped() async {
        _ = await ended.value()
    }

    private func wakeUp() {
        var one: UInt64 = 1
        _ = write(wake.rawValue, &one, 8)
    }

    private func startThread() throws(FileError) {
        var thread = pthread_t()
        // The thread keeps the pump until it is stopped.
        let own = Unmanaged.passRetained(self)
        let failure = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                dcf_prctl_name("dcf-logs")
                Unmanaged<LogPump>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, own.toOpaque())
        guard failure == 0 else {
            own.release()
            throw FileError("start", "the log thread", Errno(rawValue: failure))
        }
        pthread_detach(thread)
    }

    private func run() {
        var events = [epoll_event](repeating: epoll_event(), count: 64)
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        /// Logs that hold the last line of what came too fast.
        var holding: [ObjectIdentifier: FunctionLog] = [:]
        while true {
            let timeout = holding.isEmpty ? -1 : Self.quietMillis
            heartbeat.end()
            let count = Int(epoll_wait(epoll.rawValue, &events, Int32(events.count), timeout))
            heartbeat.begin()
            for event in events.prefix(max(0, count)) {
                let number = event.data.u64
                if number == 0 {
                    var value: UInt64 = 0
                    _ = read(wake.rawValue, &value, 8)
                } else if let source = state.withLock({ $0.added[number] }) {
                    if source.read(&buffer) == .ended { remove(number) }
                    if source.log.holdsLine { holding[ObjectIdentifier(source.log)] = source.log }
                }
            }
            holding = holding.filter { $0.value.settle(after: Self.quiet) }
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
        // Children of ours may hold copies of this end only if they forked without exec; epoll is told all the same.
        epoll_ctl(epoll.rawValue, EPOLL_CTL_DEL, source.descriptor, nil)
        source.end()
    }
}
