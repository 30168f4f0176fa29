internal import Synchronization

/// Shows whether a thread or a task makes progress: a thread between two waits, or a task that repeats its work. The
/// owner reports, and the watchdog reads from another thread.
package final class Heartbeat: Sendable {
    package let name: String
    /// Odd while the owner works. Only the owner writes it.
    private let turn = Atomic<UInt64>(0)

    package init(_ name: String) {
        self.name = name
    }

    /// The owner works from now on, on something that must not take long. Costs a load and a store.
    @inline(__always)
    package func begin() {
        turn.store(turn.load(ordering: .relaxed) | 1, ordering: .relaxed)
    }

    /// The owner waits from now on, for any time.
    @inline(__always)
    package func end() {
        turn.store((turn.load(ordering: .relaxed) | 1) &+ 1, ordering: .relaxed)
    }

    /// The owner has finished one piece of work and begins the next.
    package func beat() {
        turn.store((turn.load(ordering: .relaxed) | 1) &+ 2, ordering: .relaxed)
    }

    /// A number for the current piece of work; nil while the owner waits. The same number means the same piece.
    package var current: UInt64? {
        let turn = turn.load(ordering: .relaxed)
        return turn & 1 == 1 ? turn : nil
    }
}
