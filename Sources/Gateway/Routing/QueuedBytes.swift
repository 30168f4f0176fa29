internal import Synchronization

/// What the inputs of all waiting calls of all functions hold together.
package final class QueuedBytes: Sendable {
    package let limit: Int
    private let held = Atomic<Int>(0)

    package init(limit: Int) {
        self.limit = limit
    }

    /// Bytes held now.
    package var count: Int { held.load(ordering: .relaxed) }

    /// Takes `bytes`; false, and nothing is taken, when the limit would be passed.
    func take(_ bytes: Int) -> Bool {
        let before = held.add(bytes, ordering: .relaxed).oldValue
        guard before + bytes <= limit else {
            held.subtract(bytes, ordering: .relaxed)
            return false
        }
        return true
    }

    /// Takes `bytes` whatever the limit: of a call that was let in before.
    func takeAgain(_ bytes: Int) {
        held.add(bytes, ordering: .relaxed)
    }

    func give(back bytes: Int) {
        held.subtract(bytes, ordering: .relaxed)
    }
}
