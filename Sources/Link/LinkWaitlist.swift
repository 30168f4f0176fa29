internal import Platform

/// The connections that have no observer yet, each with the time by which it must have one. A value.
struct LinkWaitlist {
    /// Why a connection has no observer.
    enum Kind: Int, CaseIterable {
        /// It has not presented a token, on a unix socket.
        case unauthenticated
        /// It has not presented a token, over TCP.
        case remoteUnauthenticated
        /// It has presented a token, and no observer expects it yet.
        case waiting

        /// How long a connection may stay so.
        var patience: Duration {
            switch self {
            case .unauthenticated, .remoteUnauthenticated: .seconds(10)
            case .waiting: .seconds(60)
            }
        }
    }

    private struct Entry {
        let kind: Kind
        let since: UInt64
        let deadline: MonotonicTime
    }

    private var entries: [Int32: Entry] = [:]
    private var counts = [Int](repeating: 0, count: Kind.allCases.count)
    private var last: UInt64 = 0
    /// No entry's time is over before this. It may be too early after an entry was removed.
    private var earliest = MonotonicTime.never

    var isEmpty: Bool { entries.isEmpty }

    func count(_ kind: Kind) -> Int { counts[kind.rawValue] }

    mutating func set(_ descriptor: Int32, _ kind: Kind, at now: MonotonicTime = .now) {
        if let old = entries[descriptor] {
            guard old.kind != kind else { return }
            remove(descriptor)
        }
        last += 1
        let deadline = now.advanced(by: kind.patience)
        entries[descriptor] = Entry(kind: kind, since: last, deadline: deadline)
        counts[kind.rawValue] += 1
        earliest = min(earliest, deadline)
    }

    mutating func remove(_ descriptor: Int32) {
        guard let old = entries.removeValue(forKey: descriptor) else { return }
        counts[old.kind.rawValue] -= 1
    }

    /// The connections of a kind, in the order in which they came.
    func all(_ kind: Kind) -> [Int32] {
        entries.filter { $0.value.kind == kind }.sorted { $0.value.since < $1.value.since }.map(\.key)
    }

    func first(_ kind: Kind) -> Int32? {
        entries.filter { $0.value.kind == kind }.min { $0.value.since < $1.value.since }?.key
    }

    /// The connections that have run out of time.
    mutating func expired(at now: MonotonicTime) -> [Int32] {
        guard earliest <= now else { return [] }
        earliest = entries.values.map(\.deadline).filter { $0 > now }.min() ?? .never
        return entries.filter { $0.value.deadline <= now }.map(\.key)
    }

    /// Milliseconds until the time of a connection may be over, for epoll; -1 where there is no connection.
    mutating func timeout(at now: MonotonicTime) -> Int32 {
        guard !entries.isEmpty else {
            earliest = .never
            return -1
        }
        return Int32(clamping: max(earliest.nanoseconds(since: now), 0) / 1_000_000 + 1)
    }
}
