/// Tells that the state of some function has changed. It does not tell what has changed. Any thread may use it.
package final class Changes: Sendable {
    private struct State {
        var next = Promise<Void>()
        var observers: [@Sendable () -> Void] = []
    }

    private let state = Lock(State())

    package init() {}

    /// Has `body` called at each change from now on, on the thread that announces it. It must not block.
    package func observe(_ body: @escaping @Sendable () -> Void) {
        state.withLock { $0.observers.append(body) }
    }

    /// Tells the observers and all tasks that wait.
    package func announce() {
        let (promise, observers) = state.withLock { state in
            defer { state.next = Promise() }
            return (state.next, state.observers)
        }
        assertNoLockIsHeld()
        for observer in observers { observer() }
        promise.settle(())
    }

    /// Set at the next change. Read it before the state, so that no change is missed.
    package var upcoming: Promise<Void> { state.withLock { $0.next } }
}
