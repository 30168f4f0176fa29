internal import DequeModule
internal import Glibc
internal import Platform

/// The threads that write the functions' logs. Any thread may use it.
///
/// One thread at a time writes a log. A log that waits for its disk keeps its thread; the other threads go on, and more
/// are started, up to a limit. A thread without work ends after a while.
package final class LogWriters: Sendable {
    private struct State {
        var logs = Deque<FunctionLog>()
        /// How many threads rest and have not been woken.
        var resting = 0
        /// The numbers of threads that are not running.
        var free: [Int]
        /// How many logs are being written.
        var writing = 0
        var emptied: [Promise<Void>] = []
    }

    /// How long a thread rests before it ends.
    private static let restTime = Duration.seconds(2)

    /// One heartbeat for each thread.
    let heartbeats: [Heartbeat]
    private let state: Lock<State>
    private let wakeup = Semaphore()

    /// - Parameter threadsMax: how many logs can be written at the same time.
    package init(threadsMax: Int = 16) {
        heartbeats = (0..<threadsMax).map { Heartbeat("log-writer \($0 + 1)") }
        state = Lock(State(free: Array((0..<threadsMax).reversed())))
    }

    /// Has a log written soon. Never waits.
    func add(_ log: FunctionLog) {
        let thread = state.withLock { state -> Int? in
            state.logs.append(log)
            if state.resting > 0 {
                state.resting -= 1
                return -1
            }
            return state.free.popLast()
        }
        guard let thread else { return }
        if thread < 0 { wakeup.post() } else { start(thread) }
    }

    /// Returns when everything that was added is written or lost, or when the task is cancelled.
    package func written() async {
        let promise = Promise<Void>()
        let isIdle = state.withLock { state in
            if state.logs.isEmpty, state.writing == 0 { return true }
            state.emptied.append(promise)
            return false
        }
        if !isIdle { _ = await promise.value() }
    }

    private func start(_ thread: Int) {
        // If no thread can be started, a thread that runs takes the log, or the next log that is added tries again.
        guard !Thread.detached(name: "log-writer", { [self] in run(thread) }) else { return }
        state.withLock { $0.free.append(thread) }
    }

    private func run(_ thread: Int) {
        while let log = next(thread) {
            heartbeats[thread].begin()
            let hasMore = log.writeWaiting()
            heartbeats[thread].end()
            let emptied = state.withLock { state -> [Promise<Void>] in
                state.writing -= 1
                // The log goes to the end of the queue, so that a log that always has lines does not delay the others.
                if hasMore { state.logs.append(log) }
                guard state.logs.isEmpty, state.writing == 0 else { return [] }
                defer { state.emptied = [] }
                return state.emptied
            }
            for promise in emptied { promise.settle(()) }
        }
    }

    /// The next log; nil when the thread is to end.
    private func next(_ thread: Int) -> FunctionLog? {
        while true {
            let log = state.withLock { state -> FunctionLog? in
                guard let log = state.logs.popFirst() else {
                    state.resting += 1
                    return nil
                }
                state.writing += 1
                return log
            }
            if let log { return log }
            if wakeup.wait(atMost: Self.restTime) { continue }
            let mayEnd = state.withLock { state in
                // `add` has woken the thread meanwhile, and no longer counts it as resting.
                guard state.resting > 0 else { return false }
                state.resting -= 1
                state.free.append(thread)
                return true
            }
            if mayEnd { return nil }
            wakeup.wait()
        }
    }
}
