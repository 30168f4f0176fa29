package import Platform
internal import Glibc

extension Acceptor {
    /// Begins to accept, and closes every connection that does not speak HTTP/2.
    package func start(
        limits: AcceptorLimits, connections: any ConnectionCount, http2: @escaping @Sendable (Int32) -> Void
    ) {
        start(limits: limits, connections: connections) { descriptor, spoken in
            switch spoken {
            case .http1: close(descriptor)
            case .http2: http2(descriptor)
            }
        }
    }
}
