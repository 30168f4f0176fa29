internal import Glibc
import Platform

/// Counts the connections of each address, and knows which addresses are refused for a while. Loopback is neither
/// counted nor refused. A value: the caller passes times.
struct AddressBook {
    private struct Refusal {
        var until: MonotonicTime
        var length: Duration
    }

    enum Admission {
        case admitted
        /// The address has as many connections as it may have.
        case tooMany
        /// A client of the address has broken a limit, and the time of refusal is not over.
        case refused
    }

    /// How long an address is refused the first time.
    static let refusalMin = Duration.seconds(10)
    /// The longest refusal.
    static let refusalMax = Duration.seconds(600)
    /// How many refusals are remembered. The oldest is dropped for a new one.
    private static let refusalsMax = 10_000

    private let connectionsMax: Int
    private var connections: [PeerAddress: Int] = [:]
    private var refusals: [PeerAddress: Refusal] = [:]

    init(connectionsMax: Int) {
        self.connectionsMax = connectionsMax
    }

    /// Counts a new connection if it is admitted.
    mutating func admit(_ address: PeerAddress, at now: MonotonicTime) -> Admission {
        guard !address.isLoopback else { return .admitted }
        if let refusal = refusals[address], now < refusal.until { return .refused }
        guard connections[address, default: 0] < connectionsMax else { return .tooMany }
        connections[address, default: 0] += 1
        return .admitted
    }

    /// Stops counting a connection that has ended.
    mutating func leave(_ address: PeerAddress) {
        guard !address.isLoopback, let count = connections[address] else { return }
        connections[address] = count > 1 ? count - 1 : nil
    }

    /// Refuses an address from now on: for ten seconds, and twice as long with each further breach, up to ten minutes.
    /// If as much time passes again without a breach, the next refusal is short again.
    mutating func refuse(_ address: PeerAddress, at now: MonotonicTime) {
        guard !address.isLoopback else { return }
        var length = Self.refusalMin
        if let last = refusals[address] {
            // The address is refused already: this is another of its connections with the same breach.
            guard now >= last.until else { return }
            if now < last.until.advanced(by: last.length) { length = min(last.length * 2, Self.refusalMax) }
        }
        if refusals.count >= Self.refusalsMax, let oldest = refusals.min(by: { $0.value.until < $1.value.until })?.key {
            refusals[oldest] = nil
        }
        refusals[address] = Refusal(until: now.advanced(by: length), length: length)
    }
}

/// The address of a connection's client. A value.
package struct PeerAddress: Hashable, Sendable, CustomStringConvertible {
    /// The address in its usual form: `10.0.0.7`, `fe80::1`.
    package let description: String
    package let isLoopback: Bool

    package init(_ description: String, isLoopback: Bool = false) {
        self.description = description
        self.isLoopback = isLoopback
    }

    /// The address of a connected socket's client. A socket without an address counts as one of this machine.
    init(of descriptor: Int32) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let isKnown = withUnsafeMutableBytes(of: &storage) { raw -> Bool in
            guard let address = raw.baseAddress?.assumingMemoryBound(to: sockaddr.self),
                getpeername(descriptor, address, &length) == 0
            else { return false }
            return getnameinfo(address, length, &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST) == 0
        }
        let text = String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // What comes over IPv4 to a socket of IPv6.
        let plain = text.hasPrefix("::ffff:") ? String(text.dropFirst("::ffff:".count)) : text
        self.init(isKnown ? plain : "this machine", isLoopback: !isKnown || plain == "::1" || plain.hasPrefix("127."))
    }
}
