internal import Synchronization

/// Tells that the state of some function has changed; what changed must be looked up.
final class Changes: Sendable {
    private let next = Mutex(Promise<Void>())

    func announce() {
        let promise = next.withLock { promise in
            defer { promise = Promise() }
            return promise
        }
        promise.settle(())
    }

    /// What to wait for. Take it before looking at the state, so that no change is missed.
    var upcoming: Promise<Void> { next.withLock { $0 } }
}
