/// Calls for one replica, to be written to its link once the route's lock is free.
struct ReplicaCalls {
    let replica: ReplicaSlots
    var calls: [SentCall] = []
}
