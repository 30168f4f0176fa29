internal import GRPC

/// The connections that are nobody's yet, each with the time that it has to become somebody's.
struct LinkWaitlist {
    /// Why it is nobody's.
    enum Kind: Int, CaseIterable {
        /// It has not said who it is.
        case stranger
        /// The same, over TCP.
        case remoteStranger
        /// It has proved a token, and waits for somebody to expect it.
        case waiting

        var patience: Duration {
            switch self {
            case .stranger, .remoteStranger: .seconds(10)
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
    /// No entry's time is over before; as new ones have the longest to go, it is mostly right.
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

    /// Those of a kind, the one that came first first.
    func all(_ kind: Kind) -> [Int32] {
        entries.filter { $0.value.kind == kind }.sorted { $0.value.since < $1.value.since }.map(\.key)
    }

    func first(_ kind: Kind) -> Int32? {
        entries.filter { $0.value.kind == kind }.min { $0.value.since < $1.value.since }?.key
    }

    /// Those whose time is over.
    mutating func expired(at now: MonotonicTime) -> [Int32] {
        guard earliest <= now else { return [] }
        earliest = entries.values.map(\.deadline).filter { $0 > now }.min() ?? .never
        return entries.filter { $0.value.deadline <= now }.map(\.key)
    }

    /// Milliseconds until somebody's time may be over, as epoll takes them.
    mutating func timeout(at now: MonotonicTime) -> Int32 {
        guard !entries.isEmpty else {
            earliest = .never
            return -1
        }
        return Int32(clamping: max(earliest.nanoseconds(since: now), 0) / 1_000_000 + 1)
    }
}
