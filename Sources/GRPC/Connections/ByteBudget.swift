internal import Synchronization

/// So many bytes for all connections together, and how they are shared.
///
/// No connection may hold more than is left for the others, so that one that takes much leaves room for one that takes
/// little, and many that take much leave room too. What is small is no reason to refuse anything: a quarter more is kept
/// for that.
package final class ByteBudget: Sendable {
    /// Bytes that are small.
    package static let smallBytes = 64 << 10

    package let limit: Int
    package let connectionLimit: Int
    private let taken = Atomic<Int>(0)

    package init(limit: Int, connectionLimit: Int) {
        self.limit = limit
        self.connectionLimit = connectionLimit
    }

    /// Bytes taken now.
    package var count: Int { taken.load(ordering: .relaxed) }

    /// Whether more than half is taken: who makes no progress then is in the way.
    package var isShort: Bool { count > limit / 2 }

    /// Takes `bytes`; false, and nothing is taken, when there is no room.
    ///
    /// - Parameter held: what the same connection has taken.
    package func take(_ bytes: Int, held: Int) -> Bool {
        let before = taken.add(bytes, ordering: .relaxed).oldValue
        if bytes <= Self.smallBytes {
            if before + bytes <= limit + limit / 4 { return true }
        } else if before + bytes <= limit,
            held == 0 || held + bytes <= min(connectionLimit, limit - before)
        {
            return true
        }
        give(back: bytes)
        return false
    }

    package func give(back bytes: Int) {
        taken.subtract(bytes, ordering: .relaxed)
    }
}
