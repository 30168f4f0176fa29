/// A value that is set once. Any number of tasks may wait for it; any thread may set it.
package final class Promise<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var waiters: [UInt64: CheckedContinuation<Value?, Never>] = [:]
        var next: UInt64 = 0
    }

    private let state = Lock(State())

    package init() {}

    /// Sets the value. Later values are ignored.
    package func settle(_ value: Value) {
        let waiters = state.withLock { state in
            guard state.value == nil else { return [CheckedContinuation<Value?, Never>]() }
            state.value = value
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        assertNoLockIsHeld()
        for waiter in waiters { waiter.resume(returning: value) }
    }

    /// The value; nil until it is set.
    package var current: Value? { state.withLock { $0.value } }

    /// Waits for the value; nil if the task is cancelled first.
    package func value() async -> Value? {
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

    /// Waits for the value, at most for `limit`; nil if the time is up or the task is cancelled first.
    package func value(within limit: Duration) async -> Value? {
        await within(limit) { [self] in _ = await value() }
        return current
    }

    /// Waits for the value; nil if `other` is set or the task is cancelled first.
    package func value(unless other: Promise<some Sendable>) async -> Value? {
        await race({ [self] in _ = await value() }, { _ = await other.value() })
        return current
    }
}

/// Runs both, cancels the other when one has ended, and returns when both have ended.
package func race(_ one: @escaping @Sendable () async -> Void, _ other: @escaping @Sendable () async -> Void) async {
    await withTaskGroup(of: Void.self) { group in
        group.addTask { await one() }
        group.addTask { await other() }
        await group.next()
        group.cancelAll()
    }
}

/// Runs `body`, cancels it after `limit`, and returns when it has ended.
package func within(_ limit: Duration, _ body: @escaping @Sendable () async -> Void) async {
    await race(body) { try? await Task.sleep(for: limit) }
}
