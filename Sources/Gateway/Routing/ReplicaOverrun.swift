internal import GRPC

/// A replica that has been at a call for longer than its function's `timeout.call`: its handler is stuck, as far as anybody can
/// tell. It is closed for good by now. Reported with every look at it, until it is gone.
///
/// A caller's own deadline, or that a caller has left, says nothing of the handler: the caller is answered, and the call keeps its
/// place until the handler returns.
package struct ReplicaOverrun: Sendable {
    /// A handler that notices its deadline may take this long to end.
    package static let toleranceNanos: Int64 = 100_000_000

    let replica: ReplicaSlots
    /// The id on the link of the call that it has been at for longest.
    package let id: UInt64
    /// How long that is beyond `timeout.call`, in nanoseconds.
    package let nanoseconds: Int64
    /// Calls at work on the same replica that somebody still waits for and whose time is not up.
    package let liveCalls: Int
    /// Whether it was found just now.
    package let isNew: Bool

    /// Whether its process is to be killed: the time of grace is over, and nobody else would lose by it.
    package func mustEnd(grace: Duration) -> Bool {
        nanoseconds >= grace.nanosecondsClamped && liveCalls == 0
    }
}
