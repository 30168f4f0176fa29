internal import GRPC

/// The calls that a replica has, seen from its route. Guarded by the route's lock.
final class ReplicaSlots: @unchecked Sendable {
    // @unchecked: touched with the route's lock held, but for the two constants.
    let link: ReplicaLink
    var window = ReplicaWindow()
    /// Whether it gets new calls.
    var isOpen = true
    /// Called once when it is closed and has no call left.
    var onIdle: (@Sendable () -> Void)?
    /// Whether it has answered a call since it became Ready, also with the handler's exception.
    private(set) var hasAnswered = false
    private(set) var inFlight = 0
    private var entries: [Entry?] = Array(repeating: nil, count: ReplicaWindow.sizeMax)
    private var free: [UInt8] = (0..<UInt8(ReplicaWindow.sizeMax)).reversed()
    private var sequence: UInt64 = 0

    struct Entry {
        let id: UInt64
        let invocation: Invocation
    }

    /// Called while its first call is beyond its deadline, on the sweeper's thread: with the call's id, and how long the
    /// deadline is past, in nanoseconds.
    let onOverrun: @Sendable (UInt64, Int64) -> Void

    init(link: ReplicaLink, onOverrun: @escaping @Sendable (UInt64, Int64) -> Void) {
        self.link = link
        self.onOverrun = onOverrun
    }

    func hasRoom(at now: MonotonicTime) -> Bool {
        isOpen && inFlight < window.size(at: now)
    }

    /// Gives a place to a call. There must be room.
    ///
    /// - Returns: the call's id on the link: a running number above the slot's, so a late answer never meets another
    ///   call.
    func occupy(_ invocation: Invocation, at now: MonotonicTime) -> UInt64 {
        guard let slot = free.popLast() else { preconditionFailure("no slot is free") }
        window.sent(inFlight: inFlight, at: now)
        inFlight += 1
        sequence += 1
        let id = sequence << 8 | UInt64(slot)
        entries[Int(slot)] = Entry(id: id, invocation: invocation)
        invocation.place = .sent(self, id: id)
        return id
    }

    /// Frees the place of an answered call; nil when no call has this id.
    func vacate(_ id: UInt64) -> Invocation? {
        let slot = Int(id & 0xFF)
        guard slot < entries.count, let entry = entries[slot], entry.id == id else { return nil }
        entries[slot] = nil
        free.append(UInt8(slot))
        inFlight -= 1
        hasAnswered = true
        entry.invocation.place = .nowhere
        return entry.invocation
    }

    /// Takes every call away: the replica is gone.
    func vacateAll() -> [Invocation] {
        let invocations = occupied.map(\.invocation)
        for invocation in invocations { invocation.place = .nowhere }
        entries = Array(repeating: nil, count: ReplicaWindow.sizeMax)
        free = (0..<UInt8(ReplicaWindow.sizeMax)).reversed()
        inFlight = 0
        return invocations
    }

    /// The calls it has, in the order in which it got them.
    var occupied: [Entry] {
        entries.compactMap { $0 }.sorted { $0.id < $1.id }
    }
}
