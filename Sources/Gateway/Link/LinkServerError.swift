/// Why watchers cannot be listened for.
enum LinkServerError: Error, CustomStringConvertible {
    case pathTooLong(String)
    case refused(String, reason: String)
    case address(HostAddress, reason: String)

    var description: String {
        switch self {
        case .pathTooLong(let path): "the socket's path is too long for a unix socket: \(path)"
        case .refused(let path, let reason): "cannot listen on \(path): \(reason)"
        case .address(let address, let reason):
            "cannot listen for watchers on \(address): \(reason); choose another with --link-listen HOST:PORT"
        }
    }
}
