internal import Locks
internal import Synchronization

/// Whose turn it is to start: so many constructors run at once as the limit `starts` says, so that each has a processor and its
/// `timeout.start` is not spent on waiting for others. Who has waiting calls comes first, then who came first.
final class StartQueue: Sendable {
    private struct Waiter {
        let id: UInt64
        let isUrgent: @Sendable () -> Bool
        let promise: Promise<StartTurn>
    }

    private struct State {
        var running = 0
        var waiters: [Waiter] = []
        var lastID: UInt64 = 0
    }

    private let limit: Int
    private let state = Lock(State())

    /// - Parameter limit: turns at a time.
    init(limit: Int) {
        self.limit = limit
    }

    /// How many have their turn now.
    var running: Int { state.withLock { $0.running } }

    /// Waits for a turn; nil once `stopped` is settled.
    ///
    /// - Parameters:
    ///   - isUrgent: whether calls wait for it; asked whenever a turn is free, with no lock held.
    ///   - onWait: called where it is not its turn at once.
    func turn(
        isUrgent: @escaping @Sendable () -> Bool, until stopped: Promise<Void>, onWait: () -> Void
    ) async -> StartTurn? {
        let promise = Promise<StartTurn>()
        let id = state.withLock { state in
            state.lastID += 1
            state.waiters.append(Waiter(id: state.lastID, isUrgent: isUrgent, promise: promise))
            return state.lastID
        }
        grant()
        if promise.current == nil { onWait() }
        _ = await promise.value(unless: stopped)
        state.withLock { $0.waiters.removeAll { $0.id == id } }
        guard stopped.current == nil, !Task.isCancelled else {
            // Should it have come after all.
            promise.current?.end()
            return nil
        }
        return promise.current
    }

    /// A turn is over.
    fileprivate func release() {
        state.withLock { $0.running -= 1 }
        grant()
    }

    /// Gives the turns that are free.
    private func grant() {
        while true {
            let waiters = state.withLock { $0.running < limit ? $0.waiters : [] }
            guard let first = waiters.first(where: { $0.isUrgent() }) ?? waiters.first else { return }
            let isGranted = state.withLock { state in
                // Another thread may have been faster.
                guard state.running < limit, let index = state.waiters.firstIndex(where: { $0.id == first.id }) else {
                    return false
                }
                state.waiters.remove(at: index)
                state.running += 1
                return true
            }
            if isGranted { first.promise.settle(StartTurn(of: self)) }
        }
    }
}

/// A turn to start, until `end`.
final class StartTurn: Sendable {
    /// Who uses hardly any processor time for so long gives its turn away.
    private static let idleTime = Duration.seconds(2)
    private static let lookInterval = Duration.milliseconds(500)
    /// Of the time between two looks.
    private static let idleShare = 0.02

    private let queue: StartQueue
    private let isOver = Atomic<Bool>(false)

    fileprivate init(of queue: StartQueue) {
        self.queue = queue
    }

    deinit {
        end()
    }

    /// It is the next one's turn. Only the first time counts.
    func end() {
        guard !isOver.exchange(true, ordering: .acquiringAndReleasing) else { return }
        queue.release()
    }

    /// Ends the turn once what it is for has waited for something else than a processor for a while: a constructor that
    /// downloads, sleeps or waits for another function keeps nobody from starting.
    ///
    /// - Parameter process: what starts; 0 while there is none.
    func endWhenIdle(_ process: @Sendable () -> Int32) async {
        var last: ProcessorUse?
        var idle = Duration.zero
        while !isOver.load(ordering: .acquiring) {
            do { try await Task.sleep(for: Self.lookInterval) } catch { return }
            let pid = process()
            let use = pid > 0 ? ProcessorUse.now(of: pid) : nil
            let used = (use?.time ?? .zero) - (last?.time ?? .zero)
            let isIdle = !(use?.isRunnable ?? false) && used <= Self.lookInterval * Self.idleShare
            idle = isIdle ? idle + Self.lookInterval : .zero
            last = use
            if idle >= Self.idleTime { return end() }
        }
    }
}
