import Calls
import GRPC
@testable import GatewayGRPC
import GatewayProtocol
import Link
import Logging
import Platform
import Synchronization
import SwiftProtobuf
import TestSupport
import Testing
import WatcherLink

/// The whole path of a call in the gateway, from the gRPC server to the link, without processes: the handlers are
/// ``FakeHandler``s.
final class InvokeTest: Sendable {
    /// Longer than a call takes under a sanitizer, beside all other tests.
    static let longTimeout = Duration.seconds(600)

    private let folder: TemporaryFolder
    private let queue = CompletionQueue(name: "test", threads: 2)
    private let events = CallEvents()
    private let calls: CallPlane
    private let observer = OutcomeRecorder()
    private let connections = Connections()
    private let server: Server
    private let acceptor: Acceptor
    let links: LinkServer
    private let handlers = Mutex<[(FakeHandler, Replica)]>([])
    var gate: CallGate { calls.gate }
    /// How the calls ended, in order.
    var outcomes: [CallOutcome] { observer.outcomes }
    let invokes: StreamInvokeService
    let channel: Channel

    /// Attaches a replica when its link is Ready.
    private final class Replica: ReplicaLinkObserver {
        let settings = Array("{}".utf8)
        let ready = Promise<Void>()
        let link = Mutex<ReplicaLink?>(nil)
        private let route: FunctionRoute

        init(_ route: FunctionRoute) {
            self.route = route
        }

        func linkIsReady(_ link: ReplicaLink, constructorMicros: UInt64) {
            let slots = ReplicaSlots(
                channel: link, settings: RouteSettings(callTimeout: InvokeTest.longTimeout, queueBound: 100)
            ) { _ in }
            link.serve(slots, of: route)
            self.link.withLock { $0 = link }
            route.attach(slots)
            ready.settle(())
        }

        func linkFailed(_ failed: Failed, traceback: String) {}
        func linkEnded(_ link: ReplicaLink, _ end: LinkEnd) {}
    }

    /// - Parameters:
    ///   - linkThreads: how many threads may read links.
    ///   - load: when one more does.
    init(chainDepth: Int = 8, linkThreads: Int = 1, load: LoadBounds = LoadBounds()) throws {
        folder = try TemporaryFolder()
        calls = CallPlane(
            maxInputBytes: 4 << 20, maxMetadataBytes: 8 << 10, chainDepth: chainDepth, queuedBytes: 64 << 20,
            observers: [observer], onTurn: { [events] in events.handleEvents() })
        links = try LinkServer(
            path: "\(folder.path)/link", containerPath: "\(folder.path)/link.docker",
            tcp: HostAddress(host: "127.0.0.1", port: 0), maxBodyBytes: 4 << 20, invoker: calls.invoker,
            logger: Logger(label: "test"), turns: events, threadsMax: linkThreads, load: load)
        server = Server(
            configuration: ServerConfiguration(maxReceiveBytes: 8 << 20), queue: queue, connections: connections)
        UnaryInvokeService(invoker: calls.invoker).register(on: server, boundTo: events.queue)
        invokes = StreamInvokeService(invoker: calls.invoker, gate: calls.gate)
        invokes.register(on: server)
        acceptor = try Acceptor(ListeningSocket(host: "127.0.0.1", port: 0))
        channel = Channel(target: "127.0.0.1:\(acceptor.port)")
    }

    /// Runs `body` with functions of these names, each with one replica.
    ///
    /// - Parameter isRemote: whether their links are over TCP.
    func run(
        _ functions: [String], timeout: Duration = InvokeTest.longTimeout, isRemote: Bool = false,
        _ body: ([String: FakeHandler]) async throws -> Void
    ) async throws {
        links.start()
        calls.sweeper.start()
        server.start()
        acceptor.start(limits: AcceptorLimits(descriptorMax: 4096), connections: connections) { [server] in
            server.adopt($0)
        }
        var named: [String: FakeHandler] = [:]
        for name in functions {
            let route = FunctionRoute(
                name: name, settings: RouteSettings(callTimeout: timeout, queueBound: 100), context: calls.routing)
            calls.routes.set(name, versions: [1: route], traffic: Traffic(version: 1))
            let replica = Replica(route)
            let token = LinkToken()
            links.expect(token, for: replica)
            let port = links.tcpPort ?? 0
            if isRemote { links.open(token) }
            let handler =
                isRemote
                ? try FakeHandler(port: port, token: token.text, task: name)
                : try FakeHandler(path: links.path, token: token.text)
            handlers.withLock { $0.append((handler, replica)) }
            named[name] = handler
            _ = await replica.ready.value()
        }
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await body(named)) } catch { outcome = .failure(error) }
        await tearDown()
        try outcome.get()
    }

    /// Ends the replica's link as its supervisor does, for a reason of the gateway.
    func endLink(of handler: FakeHandler, _ reason: String) async {
        guard let replica = handlers.withLock({ $0.first { $0.0 === handler }?.1 }),
            let link = replica.link.withLock({ $0 })
        else { return }
        link.end(reason)
        await handler.wait { $0.hasEnded }
        await links.finish(link, how: reason)
    }

    private func tearDown() async {
        channel.close()
        acceptor.stop()
        async let ended: Void = server.shutdown()
        server.cancelAllCalls()
        await ended
        for (handler, replica) in handlers.withLock({ $0 }) {
            handler.stop()
            if let link = replica.link.withLock({ $0 }) { await links.finish(link, how: "the test is over") }
            replica.link.withLock { $0 = nil }
        }
        calls.sweeper.stop()
        links.stop()
        queue.shutdown()
        events.queue.shutdown()
    }

    static func request(_ function: String, _ input: String) throws -> [UInt8] {
        var request = Pb_InvokeServiceRequest()
        request.service = function
        request.input = .init(input.utf8)
        return try request.serializedBytes()
    }

    /// One call of InvokeBytes: its reply and the metadata beside it.
    func invoke(
        _ function: String, _ input: String, metadata: Metadata = Metadata(), timeout: Duration? = nil
    ) async throws -> (output: String, trailers: Metadata) {
        let call = try channel.call(GatewayMethod.invokeBytes.path, metadata: metadata, timeout: timeout)
        try await call.send(try Self.request(function, input))
        try await call.closeSend()
        guard let reply = try await call.receive() else { throw Status(.internal, "no reply") }
        let status = await call.status()
        return (String(decoding: try Pb_Messages(serializedBytes: reply).output, as: UTF8.self), status.metadata)
    }
}
