internal import Calls
internal import ControlPlane
internal import FunctionConfig
internal import GatewayGRPC
internal import GatewayHTTP
internal import Glibc
internal import Link
package import Logging
internal import Platform
internal import ServiceLifecycle

/// The daemon. It puts all parts together, and knows the order in which they start and stop.
package final class Gateway: Service {
    /// How long the last answers may take to reach their callers.
    private static let flushTime = Duration.milliseconds(500)
    /// How long to wait before the listener closes and again after it, as far as the lame-duck time allows. It is
    /// longer than most round trips.
    private static let handshakeTime = Duration.milliseconds(250)

    private let configuration: GatewayConfiguration
    private let logger: Logger
    /// Locked for this gateway as long as it is kept.
    private let folder: DataFolder
    private let calls: CallPlane
    private let events: CallEvents
    private let links: LinkServer
    private let control: ControlPlane
    private let fronts: [any Front]
    private let addresses: [ListeningAddress]

    /// Where the gateway listens.
    private struct ListeningAddress {
        let address: HostAddress
        let isLoopback: Bool
        let answersGRPC: Bool
        let answersHTTP: Bool
    }

    /// Locks the data folder and binds the address. Nothing is served yet.
    package init(_ configuration: GatewayConfiguration, logger: Logger) throws {
        MessageMemory.prepare()
        GRPCFront.redirectLog(to: logger)
        self.configuration = configuration
        self.logger = logger
        let limits = configuration.control.limits
        folder = try DataFolder(configuration.control.dataFolder)
        let socket = try Self.listen(at: configuration.address, allowsPlaintext: configuration.allowsPlaintext)
        let address = HostAddress(host: configuration.address.host, port: socket.port)
        var addresses = [
            ListeningAddress(
                address: address, isLoopback: socket.isLoopback, answersGRPC: true,
                answersHTTP: configuration.http != nil)
        ]
        var acceptors: [Acceptor] = []
        for address in configuration.http?.addresses ?? [] {
            let socket = try Self.listen(at: address, allowsPlaintext: configuration.allowsPlaintext)
            addresses.append(
                ListeningAddress(
                    address: HostAddress(host: address.host, port: socket.port), isLoopback: socket.isLoopback,
                    answersGRPC: false, answersHTTP: true))
            acceptors.append(try Acceptor(socket))
        }
        self.addresses = addresses
        let swarm = configuration.control.swarm
        if let swarm, !swarm.isLoopback, !configuration.allowsPlaintext {
            throw GatewayError.plaintextLink(address: "\(swarm.address)")
        }
        let events = CallEvents()
        self.events = events
        calls = CallPlane(
            maxInputBytes: limits.messageBytes, maxMetadataBytes: limits.metadataBytes,
            chainDepth: limits.chainDepth, queuedBytes: limits.queuedBytes, onTurn: { events.handleEvents() })
        links = try LinkServer(
            path: folder.socket, containerPath: folder.containerSocket, tcp: swarm?.address,
            maxBodyBytes: limits.messageBytes, invoker: calls.invoker, logger: logger, turns: events)
        control = try ControlPlane(
            configuration.control, folder: folder, calls: calls, links: links,
            place: "\(HostAddress(host: Self.hostName, port: address.port))",
            heartbeats: links.heartbeats + [calls.sweeper.heartbeat], logger: logger)
        let http = configuration.http.map { [calls, control] settings in
            HTTPService(
                limits: configuration.httpLimits, common: limits, hosts: settings.hosts, origins: settings.origins,
                plane: calls, control: control, logger: logger)
        }
        let grpc = try GRPCFront(
            socket, limits: configuration.grpc, common: limits, plane: calls, control: control, events: events,
            logger: logger,
            http: { descriptor in
                if let http { http.adopt(descriptor, .http1) } else { close(descriptor) }
            })
        let front = http.map {
            HTTPFront(
                $0, acceptors: acceptors, limits: grpc.acceptorLimits, connections: grpc.connectionCount)
        }
        fronts = [grpc] + [front].compactMap(\.self)
    }

    /// Opens the listener of a front. Every front gets its socket here.
    ///
    /// - Throws: also where other machines can reach the address and that is not allowed without encryption.
    private static func listen(at address: HostAddress, allowsPlaintext: Bool) throws -> ListeningSocket {
        let socket = try ListeningSocket(host: address.host, port: address.port)
        guard socket.isLoopback || allowsPlaintext else {
            throw GatewayError.plaintext(address: "\(HostAddress(host: address.host, port: socket.port))")
        }
        return socket
    }

    /// The name of this machine.
    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    // MARK: The order of start and stop

    /// Serves until it is told to shut down. Then it drains: accepted calls are finished as far as the limits allow.
    package func run() async throws {
        let stored = try await control.prepare()
        links.start()
        calls.sweeper.start()
        // The closure runs once everything that was deployed has begun to run.
        await control.run(stored) { [self] in
            await withTaskGroup(of: Void.self) { group in
                for front in fronts {
                    front.start()
                    group.addTask { await front.serve() }
                }
                announceAddresses()
                try? await gracefulShutdown()
                await serveAsLameDuck()
                await drain()
                group.cancelAll()
            }
        }
        control.endProcesses()
        calls.sweeper.stop()
        links.stop()
        await control.close()
        for front in fronts { front.stop() }
        logger.info("stopped")
    }

    private func announceAddresses() {
        for listening in addresses {
            if !listening.isLoopback {
                logger.warning("calls to \(listening.address) are not encrypted (--allow-plaintext)")
            }
            if listening.answersGRPC { logger.info("listening on \(listening.address)") }
            if listening.answersHTTP { logger.info("listening on http://\(listening.address)") }
        }
    }

    /// Serves on while health says NOT_SERVING, so that callers and balancers have time to go elsewhere. Before this
    /// time ends, the listeners close, so that a balancer that does not ask for health tries another gateway.
    /// Connections that exist by then have the rest of the time for their calls.
    private func serveAsLameDuck() async {
        let time = configuration.control.limits.lameDuck
        guard time > .zero else { return }
        logger.info("calls are taken for \(time.text) more; health says NOT_SERVING")
        calls.gate.beginLameDuck()
        control.announce()
        let handshake = min(Self.handshakeTime, time / 4)
        try? await Task.sleep(for: time - handshake * 2)
        for front in fronts { front.finishAccepting() }
        try? await Task.sleep(for: handshake)
        for front in fronts { front.stopListening() }
        try? await Task.sleep(for: handshake)
    }

    /// Takes no more calls, finishes accepted calls as far as the limits allow, and ends all replicas.
    private func drain() async {
        for front in fronts { front.stopListening() }
        calls.gate.close()
        logger.info("draining: \(calls.gate.count) calls")
        await withTaskGroup(of: Void.self) { group in
            // Each front tells its connections that it takes no more calls, and returns when all calls have ended.
            group.addTask { [fronts] in
                await withDiscardingTaskGroup { group in
                    for front in fronts { group.addTask { await front.drain() } }
                }
            }
            await finishCalls()
            await control.endReplicas()
            // The last answers get time to reach their callers. Then all calls that are still open are ended, for
            // example the stream of a health watcher, or a call of a peer that does not answer.
            group.addTask { [fronts] in
                do { try await Task.sleep(for: Self.flushTime) } catch { return }
                for front in fronts { front.cancelAllCalls() }
            }
            await group.next()
            group.cancelAll()
        }
    }

    private func finishCalls() async {
        for front in fronts { front.endStreams() }
        await control.beginDrain()
        let deadline = MonotonicTime.now.advanced(by: configuration.control.limits.drain)
        while calls.gate.count > 0 || fronts.contains(where: \.isBusy), MonotonicTime.now < deadline {
            try? await Task.sleep(for: .milliseconds(5))
        }
    }
}
