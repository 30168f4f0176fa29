internal import CLinux
internal import Glibc

/// A TCP socket that listens. It is closed with the value.
package struct ListeningSocket: ~Copyable, Sendable {
    package let descriptor: Int32
    /// The port on which it listens: the requested one, or the one that the kernel chose.
    package let port: UInt16
    /// Whether only this machine can reach it.
    package let isLoopback: Bool

    /// - Parameters:
    ///   - host: a name or an address; the first of its addresses is used.
    ///   - port: 0 picks a free one.
    package init(host: String, port: UInt16) throws(ListenError) {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        var found: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, "\(port)", &hints, &found)
        guard code == 0, let first = found else {
            throw .unknownHost(host, reason: String(cString: gai_strerror(code)))
        }
        defer { freeaddrinfo(first) }
        let entry = first.pointee
        let descriptor = socket(entry.ai_family, Int32(SOCK_STREAM.rawValue) | Self.flags, 0)
        guard descriptor >= 0 else { throw Self.refused(host, port) }
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        guard bind(descriptor, entry.ai_addr, entry.ai_addrlen) == 0, listen(descriptor, 1024) == 0 else {
            let error = Self.refused(host, port)
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
        (self.port, isLoopback) = Self.name(of: descriptor)
    }

    deinit {
        close(descriptor)
    }

    private static let flags = Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)

    private static func refused(_ host: String, _ port: UInt16) -> ListenError {
        .refused(address: "\(host):\(port)", reason: String(cString: strerror(errno)))
    }

    private static func name(of descriptor: Int32) -> (port: UInt16, isLoopback: Bool) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutableBytes(of: &storage) { raw in
            guard let base = raw.baseAddress else { return (0, false) }
            getsockname(descriptor, base.assumingMemoryBound(to: sockaddr.self), &length)
            if base.load(as: sockaddr.self).sa_family == sa_family_t(AF_INET6) {
                let address = base.load(as: sockaddr_in6.self)
                let bytes = withUnsafeBytes(of: address.sin6_addr) { Array($0) }
                let isMapped = bytes.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 127])
                return (
                    UInt16(bigEndian: address.sin6_port),
                    isMapped || (bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1)
                )
            }
            let address = base.load(as: sockaddr_in.self)
            return (UInt16(bigEndian: address.sin_port), UInt32(bigEndian: address.sin_addr.s_addr) >> 24 == 127)
        }
    }
}

/// Why a socket cannot listen at the address that was asked for.
package enum ListenError: Error, Equatable, CustomStringConvertible {
    /// The host's name has no address.
    case unknownHost(String, reason: String)
    /// The kernel refused; `reason` is its message.
    case refused(address: String, reason: String)

    /// The reason without the address.
    package var reason: String {
        switch self {
        case .unknownHost(let host, let reason): "\"\(host)\" is not an address of this machine (\(reason))"
        case .refused(_, let reason): reason
        }
    }

    package var description: String {
        switch self {
        case .unknownHost(let host, let reason):
            "cannot listen: \"\(host)\" is not an address of this machine (\(reason))"
        case .refused(let address, let reason):
            "cannot listen on \(address): \(reason); choose another with --listen HOST:PORT"
        }
    }
}
