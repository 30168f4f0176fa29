internal import Synchronization

/// Whether something moves: a thread between two waits, or a task that comes round again and again. Its owner tells, the
/// watchdog looks.
package final class Heartbeat: Sendable {
    package let name: String
    /// Odd while it is at something. One thread or task alone writes it.
    private let turn = Atomic<UInt64>(0)

    package init(_ name: String) {
        self.name = name
    }

    /// It is at something from now on, which must not take long. Costs a load and a store.
    @inline(__always)
    package func begin() {
        turn.store(turn.load(ordering: .relaxed) | 1, ordering: .relaxed)
    }

    /// It waits from now on, for as long as it likes.
    @inline(__always)
    package func end() {
        turn.store((turn.load(ordering: .relaxed) | 1) &+ 1, ordering: .relaxed)
    }

    /// It has come round, and is at the next.
    package func beat() {
        turn.store((turn.load(ordering: .relaxed) | 1) &+ 2, ordering: .relaxed)
    }

    /// What it is at; nil while it waits. The same number is the same thing.
    package var current: UInt64? {
        let turn = turn.load(ordering: .relaxed)
        return turn & 1 == 1 ? turn : nil
    }
}
