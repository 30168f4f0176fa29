package import Calls
package import ControlPlane
internal import GRPC
package import Logging
package import Platform

/// The front for gRPC: the gateway's own RPCs, health and reflection, on one port.
package final class GRPCFront: Front {
    private let acceptor: Acceptor
    /// The limits of every listener of the gateway.
    package let acceptorLimits: AcceptorLimits
    private let http: @Sendable (Int32) -> Void
    private let queue: CompletionQueue
    private let events: CallEvents
    private let connections: Connections
    private let server: Server
    private let invokes: StreamInvokeService
    private let service: GatewayService

    /// - Parameters:
    ///   - socket: holds the port. Nothing is accepted yet.
    ///   - common: the limits of calls through every front.
    ///   - events: gets the events of `Invoke` and `InvokeBytes` after a call's arrival.
    ///   - http: gets each connection that speaks HTTP/1.1, and owns its descriptor.
    package init(
        _ socket: consuming ListeningSocket, limits: GRPCLimits, common: Limits, plane: CallPlane,
        control: ControlPlane, events: CallEvents, logger: Logger, http: @escaping @Sendable (Int32) -> Void
    ) throws(FileError) {
        self.http = http
        acceptor = try Acceptor(socket)
        acceptorLimits = limits.acceptor
        self.events = events
        let gate = plane.gate
        queue = CompletionQueue(name: "grpc", threads: 1, helpers: LoadBounds.threadsMax - 1)
        connections = Connections(
            limits: limits.clients(common), report: { logger.warning("\($0)") },
            // When the sweeper rests again, it returns the memory to the system.
            onFreed: { [sweeper = plane.sweeper] in sweeper.wake() })
        server = Server(configuration: limits.server(common), queue: queue, connections: connections)
        UnaryInvokeService(invoker: plane.invoker).register(on: server, boundTo: events.queue)
        invokes = StreamInvokeService(invoker: plane.invoker, gate: gate)
        invokes.register(on: server)
        let health = HealthService(control.health, maxMetadataBytes: common.metadataBytes)
        health.register(on: server, boundTo: queue)
        control.health.observe { health.wake() }
        service = GatewayService(control, gate: gate, maxMetadataBytes: common.metadataBytes)
    }

    /// Counts the connections of every listener of the gateway.
    package var connectionCount: any ConnectionCount { connections }

    /// Sends the log of the gRPC core to `logger` where its level is debug or lower, and drops it otherwise. Call it
    /// before anything else of gRPC.
    package static func redirectLog(to logger: Logger) {
        if logger.logLevel <= .debug {
            CoreLog.redirect { logger.debug("gRPC: \($0)") }
        } else {
            CoreLog.redirect(to: nil)
        }
    }

    package func start() {
        server.start()
        acceptor.start(limits: acceptorLimits, connections: connections) { [server, http] descriptor, spoken in
            switch spoken {
            case .http1: http(descriptor)
            case .http2: server.adopt(descriptor)
            }
        }
    }

    package func serve() async {
        await service.run(server.calls)
    }

    package func finishAccepting() {
        acceptor.finishAccepting()
    }

    package func stopListening() {
        acceptor.stop()
    }

    package func endStreams() {
        invokes.drain()
    }

    package var isBusy: Bool { service.changesUnderWay > 0 }

    package func drain() async {
        await server.shutdown()
    }

    package func cancelAllCalls() {
        server.cancelAllCalls()
    }

    package func stop() {
        queue.shutdown()
    }
}

/// A completion queue for the events of `Invoke` and `InvokeBytes` after a call's arrival: the end of a call that was
/// answered, and the close of a call whose caller leaves before the answer.
///
/// It has no thread. The links' threads and the sweeper handle its events at the end of each turn, so a call is freed on
/// the thread that answered it, while its memory is still in that thread's cache. In a burst of replies it holds what
/// that thread writes to clients until the end of the burst.
package final class CallEvents: ReplyTurns {
    let queue = CompletionQueue(name: "answered", threads: 0)

    package init() {}

    /// Completes the events that there are.
    package func handleEvents() {
        queue.handleEvents()
    }

    package func beginBurst() { HeldWrites.begin() }
    package func endBurst() { HeldWrites.end() }
    package func endTurn() { queue.handleExpectedEvents() }
}
