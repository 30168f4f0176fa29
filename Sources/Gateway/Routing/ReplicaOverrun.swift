/// A replica whose first call is beyond its deadline: its handler is stuck, as far as anybody can tell.
package struct ReplicaOverrun: Sendable {
    let replica: ReplicaSlots
    /// The call's id on the link.
    let id: UInt64
    /// How long ago the deadline was, in nanoseconds.
    let nanoseconds: Int64
}
