internal import Glibc
package import Logging
package import Platform
internal import Synchronization

/// Checks, on a thread of its own, that every heartbeat makes progress.
///
/// When a heartbeat has been at the same step for `limit`, the watchdog logs that once, with the stacks of all threads.
/// `isStalled` is then true until the heartbeat moves again.
///
/// The watchdog counts its own looks, not seconds: a process that was stopped as a whole, perhaps with its machine, has
/// not stalled.
package final class Watchdog: Sendable {
    /// One heartbeat and what the looks at it have found.
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

        /// - Parameter looksMax: how many looks that find the heartbeat at the same step are a stall.
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

    /// How many looks fit into one time limit.
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
    ///   - limit: how long one step of a heartbeat may take.
    ///   - onChange: called on the watchdog's thread when `isStalled` may have changed.
    package init(
        limit: Duration, heartbeats: [Heartbeat], logger: Logger, onChange: @escaping @Sendable () -> Void = {}
    ) {
        self.limit = limit
        self.heartbeats = heartbeats
        self.logger = logger
        self.onChange = onChange
    }

    /// Whether a heartbeat has stalled. Any thread may read it.
    package var isStalled: Bool { stalled.load(ordering: .relaxed) > 0 }

    package func start() {
        ThreadStacks.prepare()
        let isStarted = Thread.detached(name: "watchdog") { [self] in
            run()
            ended.post()
        }
        if !isStarted { logger.warning("no thread could be started for the watchdog: it will not notice stalls") }
    }

    /// Ends the thread, without waiting for it.
    package func stop() {
        isStopping.store(true, ordering: .sequentiallyConsistent)
        wakeup.post()
    }

    private func run() {
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
            stalled: \(names.joined(separator: ", ")) had not moved for \(limit) (stall-timeout); health says NOT_SERVING \
            until that changes; the stacks of all threads follow
            """)
        for line in ThreadStacks.all() { logger.critical("\(line)") }
    }
}
