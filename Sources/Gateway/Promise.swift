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

    /// Waits for the value, so long at most; nil when the time is up or the task is cancelled first.
    func value(within limit: Duration) async -> Value? {
        await within(limit) { [self] in _ = await value() }
        return current
    }

    /// Waits for the value; nil when `other` is settled or the task is cancelled first.
    func value(unless other: Promise<some Sendable>) async -> Value? {
        await race({ [self] in _ = await value() }, { _ = await other.value() })
        return current
    }
}
