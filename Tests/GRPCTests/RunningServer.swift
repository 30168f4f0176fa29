import GRPC
import Platform
import TestSupport

/// A server on a free port of the loopback, with one unary method that answers with the request's bytes, and one
/// handler for everything else.
final class RunningServer: Sendable {
    static let echo = "/test.Service/Echo"

    let queue: CompletionQueue
    let server: Server
    let acceptor: Acceptor
    var target: String { "127.0.0.1:\(acceptor.port)" }

    init(
        limits: AcceptorLimits = AcceptorLimits(descriptorMax: 4096), maxReceiveBytes: Int = 1 << 20,
        connectionLimits: ConnectionLimits = ConnectionLimits(),
        queue: CompletionQueue = CompletionQueue(name: "test", threads: 2)
    ) throws {
        self.queue = queue
        let connections = Connections(limits: connectionLimits)
        server = Server(
            configuration: ServerConfiguration(maxReceiveBytes: maxReceiveBytes), queue: queue, connections: connections
        )
        acceptor = try Acceptor(ListeningSocket(host: "127.0.0.1", port: 0))
        server.register(Self.echo, boundTo: queue) { call in
            guard let request = call.takeRequest() else { return call.finish(Status(.invalidArgument, "empty")) }
            call.finish(request)
        }
        server.start()
        acceptor.start(limits: limits, connections: connections) { [server] in server.adopt($0) }
    }

    /// Serves other calls with `serve` while `body` runs, then ends everything.
    func run(
        serve: @escaping @Sendable (ServerCall) async -> Status, _ body: () async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { [server] in
                await withDiscardingTaskGroup { calls in
                    for await call in server.calls {
                        calls.addTask { await call.finish(await serve(call)) }
                    }
                }
            }
            try await body()
            acceptor.stop()
            async let ended: Void = server.shutdown()
            server.cancelAllCalls()
            await ended
        }
        queue.shutdown()
    }
}
