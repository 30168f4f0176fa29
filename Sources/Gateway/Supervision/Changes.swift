internal import Locks

/// Tells that the state of some function has changed; what changed must be looked up.
final class Changes: Sendable {
    private struct State {
        var next = Promise<Void>()
        var observer: (@Sendable () -> Void)?
    }

    private let state = Lock(State())

    /// Has `body` called at each change from now on, whatever thread it comes from: it must not block.
    func observe(_ body: @escaping @Sendable () -> Void) {
        state.withLock { $0.observer = body }
    }

    func announce() {
        let (promise, observer) = state.withLock { state in
            defer { state.next = Promise() }
            return (state.next, state.observer)
        }
        assertNoLockIsHeld()
        observer?()
        promise.settle(())
    }

    /// What to wait for. Take it before looking at the state, so that no change is missed.
    var upcoming: Promise<Void> { state.withLock { $0.next } }
}
