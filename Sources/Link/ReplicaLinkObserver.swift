internal import Glibc
package import WatcherLink

/// The supervisor of a replica, as its link sees it. The methods run on the link's thread and must not block.
package protocol ReplicaLinkObserver: AnyObject, Sendable {
    /// The settings that the watcher gets in Welcome, as JSON.
    var settings: [UInt8] { get }

    /// A watcher has presented the expected token, and its link belongs to this observer. This comes before all other
    /// events of the link. The observer may `end` the link because of its `task`.
    func linkIsKnown(_ link: ReplicaLink)

    /// The handler is constructed.
    func linkIsReady(_ link: ReplicaLink, constructorMicros: UInt64)

    /// The handler could not be constructed.
    func linkFailed(_ failed: Failed, traceback: String)

    /// The link has ended. This is its last event.
    func linkEnded(_ link: ReplicaLink, _ end: LinkEnd)
}

extension ReplicaLinkObserver {
    package func linkIsKnown(_ link: ReplicaLink) {}
}

/// Why a link has ended.
package enum LinkEnd: Error, Sendable, Equatable, CustomStringConvertible {
    case closedByWatcher
    /// The connection broke, with this errno.
    case broken(Int32)
    /// The watcher violated the protocol.
    case protocolError(LinkError)
    /// The gateway ended the link, for this reason.
    case byGateway(String)

    /// Whether the connection timed out: the watcher's machine cannot be reached.
    package var isTimeout: Bool { self == .broken(ETIMEDOUT) }

    package var description: String {
        switch self {
        case .closedByWatcher: "the watcher closed the link"
        case .broken(let code): "the link broke: \(String(cString: strerror(code)))"
        case .protocolError(let error): "protocol error: \(error)"
        case .byGateway(let reason): reason
        }
    }
}
