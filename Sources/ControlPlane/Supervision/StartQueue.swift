internal import Platform
internal import Synchronization

/// Limits how many constructors run at once to the limit `starts`, so that each one has a processor and its
/// `timeout.start` is not spent on waiting for others. Replicas for which calls wait come first; the others come in the
/// order of their requests.
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

    /// - Parameter limit: how many turns there are at a time.
    init(limit: Int) {
        self.limit = limit
    }

    /// How many turns are taken now.
    var running: Int { state.withLock { $0.running } }

    /// Waits for a turn. Returns nil once `stopped` is settled.
    ///
    /// - Parameters:
    ///   - isUrgent: whether calls wait for the replica. It is asked whenever a turn is free, with no lock held.
    ///   - onWait: called if the turn does not come at once.
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
            // A turn may have come in the meantime.
            promise.current?.end()
            return nil
        }
        return promise.current
    }

    /// Takes a turn back.
    fileprivate func release() {
        state.withLock { $0.running -= 1 }
        grant()
    }

    /// Gives the free turns to those who wait.
    private func grant() {
        while true {
            let waiters = state.withLock { $0.running < limit ? $0.waiters : [] }
            guard let first = waiters.first(where: { $0.isUrgent() }) ?? waiters.first else { return }
            let isGranted = state.withLock { state in
                // Another thread may have given the turn away.
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

/// A turn to start, until `end` is called.
final class StartTurn: Sendable {
    /// How long a start must use hardly any processor time before its turn is given away.
    private static let idleTime = Duration.seconds(2)
    private static let lookInterval = Duration.milliseconds(500)
    /// How much of the time between two looks counts as hardly any processor time.
    private static let idleShare = 0.02

    private let queue: StartQueue
    private let isOver = Atomic<Bool>(false)

    fileprivate init(of queue: StartQueue) {
        self.queue = queue
    }

    deinit {
        end()
    }

    /// Ends the turn. Only the first call has an effect.
    func end() {
        guard !isOver.exchange(true, ordering: .acquiringAndReleasing) else { return }
        queue.release()
    }

    /// Ends the turn once the start has not needed a processor for a while. A constructor that downloads, sleeps or
    /// waits for another function does not keep others from starting.
    ///
    /// - Parameter process: the ID of the process that starts. 0 while there is none.
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
