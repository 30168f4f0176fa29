package import GRPC

/// How much a route has to do at a moment.
package struct RouteLoad: Sendable, Equatable {
    /// Calls that replicas have.
    package var inFlight: Int
    /// Calls that wait for a replica.
    package var waiting: Int
    /// Replicas that get calls.
    package var replicas: Int
    /// Calls that those can run at once.
    package var capacity: Int
    /// When a call last came or was answered.
    package var lastActive: MonotonicTime

    package var isIdle: Bool { inFlight == 0 && waiting == 0 }
}
