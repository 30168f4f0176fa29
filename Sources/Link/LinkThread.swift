internal import Platform

/// A thread that reads links, as other threads see it. Any thread may use it.
final class LinkThread: Sendable {
    typealias Command = @Sendable (LinkLoop) -> Void

    private struct State {
        var commands: [Command] = []
        var thread: Thread?
        var isStopping = false
        /// The last measure of the thread's load.
        var share = 0.0
        var notedAt = MonotonicTime(nanoseconds: .min)
    }

    /// After so much time without a new measure a thread counts as idle: it sleeps.
    private static let shareAge = Duration.seconds(1)

    let poll: EventPoll
    let heartbeat: Heartbeat
    private let state = Lock(State())

    init(name: String) throws(FileError) {
        poll = try EventPoll()
        heartbeat = Heartbeat(name)
    }

    func start(_ body: @escaping @Sendable () -> Void) {
        let thread = Thread(name: heartbeat.name, body)
        state.withLock { $0.thread = thread }
    }

    /// Runs `command` on the thread, after those that were given before.
    ///
    /// - Returns: false, and nothing is run, when the thread ends.
    @discardableResult
    func perform(_ command: @escaping Command) -> Bool {
        let isTaken = state.withLock { state in
            guard !state.isStopping else { return false }
            state.commands.append(command)
            return true
        }
        if isTaken { poll.wake() }
        return isTaken
    }

    func takeCommands() -> [Command] {
        state.withLock { state in
            defer { state.commands = [] }
            return state.commands
        }
    }

    /// Closes the thread's links, and waits for its end.
    func stop() {
        let thread = state.withLock { state in
            // In one step, so that no command comes after the last.
            if !state.isStopping { state.commands.append { $0.stop() } }
            state.isStopping = true
            defer { state.thread = nil }
            return state.thread
        }
        poll.wake()
        thread?.join()
    }

    /// Notes the thread's load.
    func note(share: Double, at now: MonotonicTime) {
        state.withLock { state in
            state.share = share
            state.notedAt = now
        }
    }

    /// For which share of the time the thread had a processor lately, from 0 to 1.
    func share(at now: MonotonicTime) -> Double {
        state.withLock { now < $0.notedAt.advanced(by: Self.shareAge) ? $0.share : 0 }
    }
}

/// The thread that reads a link at present. Any thread may use it.
final class LinkHome: Sendable {
    private let descriptor: Int32
    private let current: Lock<LinkThread>

    init(_ thread: LinkThread, descriptor: Int32) {
        current = Lock(thread)
        self.descriptor = descriptor
    }

    var thread: LinkThread { current.withLock { $0 } }

    /// Called on the old thread, which does not watch the link any more.
    func move(to thread: LinkThread) {
        current.withLock { $0 = thread }
    }

    /// Has the thread call `writable` when the link's socket has room. A thread that gets the link at the same moment
    /// does so in any case.
    func awaitRoom() {
        thread.poll.change(descriptor, to: [.readable, .writable], key: UInt64(descriptor))
    }
}
