internal import Synchronization

/// A limited number of bytes that all connections share. Any thread may use it.
///
/// No connection may hold more than is left for the others: one that holds much leaves room for one that holds little,
/// and many that hold much leave room too. Small messages are rarely refused: an additional quarter of the limit is
/// kept for them.
package final class ByteBudget: Sendable {
    /// A message up to this size is small.
    package static let smallBytes = 64 << 10

    package let limit: Int
    package let connectionLimit: Int
    private let reserved = Atomic<Int>(0)

    package init(limit: Int, connectionLimit: Int) {
        self.limit = limit
        self.connectionLimit = connectionLimit
    }

    /// How many bytes are reserved now.
    package var count: Int { reserved.load(ordering: .relaxed) }

    /// Whether more than half is reserved: connections without progress are then ended.
    package var isShort: Bool { count > limit / 2 }

    /// Reserves `bytes`. Returns false, and reserves nothing, when there is no room.
    ///
    /// - Parameter held: how many bytes the same connection has reserved.
    package func reserve(_ bytes: Int, held: Int) -> Bool {
        let before = reserved.add(bytes, ordering: .relaxed).oldValue
        if bytes <= Self.smallBytes {
            if before + bytes <= limit + limit / 4 { return true }
        } else if before + bytes <= limit,
            held == 0 || held + bytes <= min(connectionLimit, limit - before)
        {
            return true
        }
        release(bytes)
        return false
    }

    /// Ends a reservation.
    package func release(_ bytes: Int) {
        reserved.subtract(bytes, ordering: .relaxed)
    }
}
