internal import Locks

/// Tells that the state of some function has changed; what changed must be looked up.
final class Changes: Sendable {
    private let next = Lock(Promise<Void>())
    private let observer = Lock<(@Sendable () -> Void)?>(nil)

    /// Has `body` called at each change from now on, whatever thread it comes from: it must not block.
    func observe(_ body: @escaping @Sendable () -> Void) {
        observer.withLock { $0 = body }
    }

    func announce() {
        let observer = observer.withLock { $0 }
        let promise = next.withLock { promise in
            defer { promise = Promise() }
            return promise
        }
        assertNoLockIsHeld()
        observer?()
        promise.settle(())
    }

    /// What to wait for. Take it before looking at the state, so that no change is missed.
    var upcoming: Promise<Void> { next.withLock { $0 } }
}
