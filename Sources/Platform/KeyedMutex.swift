/// A mutex for tasks with one lock for each key. Tasks wait in the order of their arrival and may be cancelled while
/// they wait.
package final class KeyedMutex: Sendable {
    private struct Waiter {
        let number: UInt64
        let continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var lastNumber: UInt64 = 0
        /// The keys that a task holds, with the tasks that wait for each, in order.
        var held: [String: [Waiter]] = [:]
    }

    private let state = Lock(State())

    package init() {}

    /// Runs `work` while no other work for the key runs.
    ///
    /// - Throws: `CancellationError` if the task is cancelled before its turn.
    package func run<Result: Sendable>(_ key: String, _ work: () async -> Result) async throws(CancellationError)
        -> Result
    {
        guard await enter(key) else { throw CancellationError() }
        let result = await work()
        leave(key)
        return result
    }

    private func enter(_ key: String) async -> Bool {
        let number = state.withLock { state in
            state.lastNumber += 1
            return state.lastNumber
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = state.withLock { state in
                    if Task.isCancelled { return false }
                    guard state.held[key] != nil else {
                        state.held[key] = []
                        return true
                    }
                    state.held[key]?.append(Waiter(number: number, continuation: continuation))
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> Waiter? in
                guard let index = state.held[key]?.firstIndex(where: { $0.number == number }) else { return nil }
                return state.held[key]?.remove(at: index)
            }
            waiter?.continuation.resume(returning: false)
        }
    }

    private func leave(_ key: String) {
        let next = state.withLock { state -> Waiter? in
            guard let waiters = state.held[key] else { return nil }
            guard !waiters.isEmpty else {
                state.held[key] = nil
                return nil
            }
            return state.held[key]?.removeFirst()
        }
        assertNoLockIsHeld()
        next?.continuation.resume(returning: true)
    }
}
