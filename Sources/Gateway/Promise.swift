internal import Locks

/// A value that is set once and waited for by any number of tasks.
final class Promise<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var waiters: [UInt64: CheckedContinuation<Value?, Never>] = [:]
        var next: UInt64 = 0
    }

    private let state = Lock(State())

    /// Sets the value; later ones are ignored.
    func settle(_ value: Value) {
        let waiters = state.withLock { state in
            guard state.value == nil else { return [CheckedContinuation<Value?, Never>]() }
            state.value = value
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        assertNoLockIsHeld()
        for waiter in waiters { waiter.resume(returning: value) }
    }

    /// The value, if it is set.
    var current: Value? { state.withLock { $0.value } }

    /// Waits for the value; nil when the task is cancelled first.
    func value() async -> Value? {
        let id = state.withLock { state in
            defer { state.next += 1 }
            return state.next
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isWaiting = state.withLock { state in
                    guard state.value == nil, !Task.isCancelled else { return false }
                    state.waiters[id] = continuation
                    return true
                }
                if !isWaiting { continuation.resume(returning: current) }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume(returning: nil)
        }
    }

    /// Waits for so long, or until `promise` is settled, or the task is cancelled.
    static func wait(_ time: Duration, unless promise: Promise) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await Task.sleep(for: time) }
            group.addTask { _ = await promise.value() }
            await group.next()
            group.cancelAll()
        }
    }
}
