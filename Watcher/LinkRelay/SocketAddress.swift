import Glibc

/// An address as the system's calls take it.
struct SocketAddress {
    let family: Int32
    let bytes: [UInt8]

    /// - Parameter text: an IPv4 or IPv6 address; nil is returned for a name.
    init?(_ text: String, _ port: UInt16) {
        var four = sockaddr_in()
        var six = sockaddr_in6()
        if inet_pton(AF_INET, text, &four.sin_addr) == 1 {
            four.sin_family = sa_family_t(AF_INET)
            four.sin_port = port.bigEndian
            (family, bytes) = (AF_INET, withUnsafeBytes(of: &four) { Array($0) })
        } else if inet_pton(AF_INET6, text, &six.sin6_addr) == 1 {
            six.sin6_family = sa_family_t(AF_INET6)
            six.sin6_port = port.bigEndian
            (family, bytes) = (AF_INET6, withUnsafeBytes(of: &six) { Array($0) })
        } else {
            return nil
        }
    }
}
