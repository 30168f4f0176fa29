/// Why a gateway cannot listen where it was told to.
package enum AcceptorError: Error, Equatable, CustomStringConvertible {
    /// The host's name has no address.
    case unknownHost(String, reason: String)
    /// The kernel refused; `reason` is its own words.
    case refused(address: String, reason: String)

    /// Why, without where.
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
