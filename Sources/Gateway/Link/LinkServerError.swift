/// Why watchers cannot be listened for.
enum LinkServerError: Error, CustomStringConvertible {
    case pathTooLong(String)
    case refused(String, reason: String)

    var description: String {
        switch self {
        case .pathTooLong(let path): "the socket's path is too long for a unix socket: \(path)"
        case .refused(let path, let reason): "cannot listen on \(path): \(reason)"
        }
    }
}
