import Glibc

/// Why a gateway has no link.
struct RelayError: Error {
    var reason: String

    init(reason: String) {
        self.reason = reason
    }

    init(_ code: Int32) {
        reason = String(cString: strerror(code))
    }
}
