internal import CLinux
internal import Glibc
internal import Locks
package import Logging
internal import Synchronization

/// Looks, from a thread of its own, whether all that must move does: what of it stands still for `limit` is said in the log, once, with
/// the stacks of all threads, and `isStalled` is true until it moves again.
///
/// Time is counted in the watchdog's own looks, so that a process that was stopped as a whole, with its machine perhaps, has not stalled.
package final class Watchdog: Sendable {
    /// One of those that are looked at.
    struct Subject {
        let heartbeat: Heartbeat
        private var seen: UInt64?
        private var looks = 0
        private(set) var isStalled = false

        enum Change {
            case stalled
            case moves
        }

        init(_ heartbeat: Heartbeat) {
            self.heartbeat = heartbeat
        }

        /// - Parameter looksMax: so many looks that find it at the same thing are a stall.
        mutating func look(atMost looksMax: Int) -> Change? {
            let current = heartbeat.current
            if let current, current == seen {
                looks += 1
                guard looks >= looksMax, !isStalled else { return nil }
                isStalled = true
                return .stalled
            }
            (seen, looks) = (current, 0)
            guard isStalled else { return nil }
            isStalled = false
            return .moves
        }
    }

    /// Looks in one time limit.
    private static let looksMax = 10

    private let limit: Duration
    private let heartbeats: [Heartbeat]
    private let logger: Logger
    private let onChange: @Sendable () -> Void
    private let stalled = Atomic<Int>(0)
    private let isStopping = Atomic<Bool>(false)
    private let wakeup = Semaphore()
    private let ended = Semaphore()

    /// - Parameters:
    ///   - limit: how long something may take.
    ///   - onChange: `isStalled` may have changed. On the watchdog's thread.
    package init(
        limit: Duration, heartbeats: [Heartbeat], logger: Logger, onChange: @escaping @Sendable () -> Void = {}
    ) {
        self.limit = limit
        self.heartbeats = heartbeats
        self.logger = logger
        self.onChange = onChange
    }

    /// Whether something has not moved for so long. From any thread.
    package var isStalled: Bool { stalled.load(ordering: .relaxed) > 0 }

    package func start() {
        ThreadStacks.prepare()
        let isStarted = BlockingThread.start { [self] in
            run()
            ended.post()
        }
        if !isStarted { logger.warning("no thread can be had for the watchdog: stalls are not noticed") }
    }

    /// Ends the thread, without waiting for it.
    package func stop() {
        isStopping.store(true, ordering: .sequentiallyConsistent)
        wakeup.post()
    }

    private func run() {
        _ = dcf_prctl_name("watchdog")
        var subjects = heartbeats.map(Subject.init)
        let pause = limit / Self.looksMax
        while true {
            _ = wakeup.wait(atMost: pause)
            if isStopping.load(ordering: .sequentiallyConsistent) { return }
            var (stalled, moving): ([String], [String]) = ([], [])
            for index in subjects.indices {
                switch subjects[index].look(atMost: Self.looksMax) {
                case .stalled: stalled.append(subjects[index].heartbeat.name)
                case .moves: moving.append(subjects[index].heartbeat.name)
                case nil: break
                }
            }
            if stalled.isEmpty, moving.isEmpty { continue }
            self.stalled.store(subjects.count(where: \.isStalled), ordering: .relaxed)
            if !moving.isEmpty { logger.warning("moves again: \(moving.joined(separator: ", "))") }
            if !stalled.isEmpty { report(stalled) }
            onChange()
        }
    }

    private func report(_ names: [String]) {
        logger.critical(
            """
            stalled: \(names.joined(separator: ", ")) had not moved for \(limit) (stall-timeout); health says NOT_SERVING until \
            it does; where all threads are follows
            """)
        for line in ThreadStacks.all() { logger.critical("\(line)") }
    }
}
