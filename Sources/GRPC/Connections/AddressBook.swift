/// How many connections each address has, and which are refused for a while. Loopback is neither counted nor refused.
struct AddressBook {
    private struct Refusal {
        var until: MonotonicTime
        var length: Duration
    }

    enum Admission {
        case admitted
        /// It has as many as it may have.
        case tooMany
        /// It has broken a limit a while ago.
        case refused
    }

    static let refusalMin = Duration.seconds(10)
    static let refusalMax = Duration.seconds(600)
    /// Refusals that are remembered; the oldest goes for a new one.
    private static let refusalsMax = 10_000

    private let connectionsMax: Int
    private var connections: [PeerAddress: Int] = [:]
    private var refusals: [PeerAddress: Refusal] = [:]

    init(connectionsMax: Int) {
        self.connectionsMax = connectionsMax
    }

    /// Counts a new connection, if it may come in.
    mutating func admit(_ address: PeerAddress, at now: MonotonicTime) -> Admission {
        guard !address.isLoopback else { return .admitted }
        if let refusal = refusals[address], now < refusal.until { return .refused }
        guard connections[address, default: 0] < connectionsMax else { return .tooMany }
        connections[address, default: 0] += 1
        return .admitted
    }

    /// A connection has ended.
    mutating func leave(_ address: PeerAddress) {
        guard !address.isLoopback, let count = connections[address] else { return }
        connections[address] = count > 1 ? count - 1 : nil
    }

    /// Refuses an address from now on: for ten seconds, and twice as long each time that it comes back to do the same, up to
    /// ten minutes. As long again without a breach, and all is forgotten.
    mutating func refuse(_ address: PeerAddress, at now: MonotonicTime) {
        guard !address.isLoopback else { return }
        var length = Self.refusalMin
        if let last = refusals[address] {
            // Its other connections do the same at this moment.
            guard now >= last.until else { return }
            if now < last.until.advanced(by: last.length) { length = min(last.length * 2, Self.refusalMax) }
        }
        if refusals.count >= Self.refusalsMax, let oldest = refusals.min(by: { $0.value.until < $1.value.until })?.key {
            refusals[oldest] = nil
        }
        refusals[address] = Refusal(until: now.advanced(by: length), length: length)
    }
}
