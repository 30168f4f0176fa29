internal import Calls
package import Platform

/// The front for HTTP/1.1 and HTTP/2: the listeners of ``HTTPService``, and its part when the gateway starts and stops.
///
/// The service also gets connections from the port of gRPC.
package final class HTTPFront: Front {
    private let service: HTTPService
    private let acceptors: [Acceptor]
    private let acceptorLimits: AcceptorLimits
    private let connections: any ConnectionCount

    /// - Parameters:
    ///   - acceptors: the listeners of HTTP alone. Nothing is accepted yet.
    ///   - limits: of those listeners.
    ///   - connections: counts their connections.
    package init(
        _ service: HTTPService, acceptors: [Acceptor], limits: AcceptorLimits, connections: any ConnectionCount
    ) {
        self.service = service
        self.acceptors = acceptors
        acceptorLimits = limits
        self.connections = connections
    }

    package func start() {
        for acceptor in acceptors {
            acceptor.start(limits: acceptorLimits, connections: connections) { [service] in service.adopt($0, $1) }
        }
    }

    package func serve() async {}

    package func finishAccepting() {
        for acceptor in acceptors { acceptor.finishAccepting() }
    }

    package func stopListening() {
        for acceptor in acceptors { acceptor.stop() }
    }

    package func endStreams() {}

    package var isBusy: Bool { service.isBusy }

    package func drain() async {
        await service.shutdown()
    }

    package func cancelAllCalls() {
        service.closeAll()
    }

    package func stop() {
        service.stop()
    }
}
