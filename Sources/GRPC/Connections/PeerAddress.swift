internal import Glibc

/// Where a connection comes from.
package struct PeerAddress: Hashable, Sendable, CustomStringConvertible {
    /// As it is written: `10.0.0.7`, `fe80::1`.
    package let description: String
    package let isLoopback: Bool

    package init(_ description: String, isLoopback: Bool = false) {
        self.description = description
        self.isLoopback = isLoopback
    }

    /// Of a connected socket. One that has no address is of this machine.
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
