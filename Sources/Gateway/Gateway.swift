internal import Engine
internal import Environments
internal import FunctionConfig
internal import GRPC
internal import Glibc
package import Logging
internal import ServiceLifecycle
internal import Synchronization

/// The daemon: all parts, put together here and nowhere else, and the order in which they start and stop.
package final class Gateway: Service {
    /// How often invocation counts are written.
    private static let countsInterval = Duration.seconds(5)
    /// How often what the watchdog looks at shows that it moves.
    private static let pulseInterval = Duration.seconds(1)
    private static let codeInterval = Duration.seconds(3)
    /// How often the number of replicas is compared with the load.
    private static let scaleInterval = Duration.milliseconds(250)
    /// How often what is left over is looked for, and environments that nobody needs.
    private static let tidyInterval = Duration.seconds(60)
    private static let environmentsInterval = Duration.seconds(86_400)
    /// How long the last answers may take to reach their callers.
    private static let flushTime = Duration.milliseconds(500)
    /// Before the listener closes and after it, as long as the lame-duck time has room for it: longer than most round trips.
    private static let handshakeTime = Duration.milliseconds(250)

    private let configuration: GatewayConfiguration
    private let logger: Logger
    private let folder: DataFolder
    private let acceptor: Acceptor
    private let queue: CompletionQueue
    private let calls: CompletionQueue
    private let connections: Connections
    private let server: Server
    private let links: LinkServer
    private let logs: LogPump
    private let sweeper: Sweeper
    private let logFolder: LogFolder
    private let watchdog: Watchdog
    /// Of Swift's threads, the registry and the pool of tasks.
    private let pulses = [Heartbeat("Swift's threads"), Heartbeat("the registry"), Heartbeat("the pool of tasks")]
    private let gate = CallGate()
    /// Settled when nothing is begun any more.
    private let draining = Promise<Void>()
    private let changes = Changes()
    private let tasks = TaskPool()
    private let containment: Containment
    private let templates: TemplatePool
    private let containers: ContainerHost
    private let swarm: SwarmHost?
    private let gpus = GPULeases()
    private let store: FunctionStore
    private let registry: FunctionRegistry
    private let environments: EnvironmentCache
    private let service: GatewayService
    private let invokes: InvokesService

    /// Takes the data folder and the address; nothing is served yet.
    package init(_ configuration: GatewayConfiguration, logger: Logger) throws {
        MessageMemory.prepare()
        if logger.logLevel <= .debug {
            CoreLog.redirect { logger.debug("gRPC: \($0)") }
        } else {
            CoreLog.redirect(to: nil)
        }
        self.configuration = configuration
        self.logger = logger
        let limits = configuration.limits
        folder = try DataFolder(configuration.dataFolder)
        acceptor = Acceptor(try ListeningSocket(host: configuration.address.host, port: configuration.address.port))
        let address = "\(HostAddress(host: configuration.address.host, port: acceptor.port))"
        guard acceptor.isLoopback || configuration.allowsPlaintext else {
            throw GatewayError.plaintext(address: address)
        }
        if let swarm = configuration.swarm, !swarm.isLoopback, !configuration.allowsPlaintext {
            throw GatewayError.plaintextLink(address: "\(swarm.address)")
        }

        let reserve = DataReserve(folder: folder.path)
        store = try reserve.lend { [folder] () throws(RegistryError) in
            try FunctionStore(path: "\(folder.path)/registry.sqlite")
        }
        reserve.take()
        let bundles = try BundleStore(
            dataFolder: folder.path,
            limits: BundleLimits(contentBytes: UInt64(limits.bundleBytes), entries: limits.bundleFiles))
        environments = EnvironmentCache(
            root: "\(folder.path)/environments", launcher: configuration.launcher, variables: configuration.variables)
        let interpreters = InterpreterFinder(
            cacheFolder: "\(folder.path)/environments", launcher: configuration.launcher,
            variables: configuration.variables)
        // A call is put away where it was answered, while its memory is still in that thread's cache.
        calls = CompletionQueue(name: "calls", threads: 0)
        let routes = RouteTable()
        let busy = BusyRoutes()
        sweeper = Sweeper(busy: busy, calls: calls)
        let invoker = Invoker(
            routes: routes, sweeper: sweeper, maxInputBytes: limits.messageBytes,
            maxMetadataBytes: limits.metadataBytes, chainDepth: limits.chainDepth)
        links = try LinkServer(
            path: folder.socket, containerPath: folder.containerSocket,
            tcp: configuration.swarm?.address,
            maxBodyBytes: limits.messageBytes, invoker: invoker, logger: logger,
            onTurn: { [calls] in calls.drain() })
        logs = try LogPump()

        queue = CompletionQueue(name: "grpc", threads: 1) { [gate] in gate.count > 1 }
        connections = Connections(
            limits: limits.clients, report: { logger.warning("\($0)") },
            // When it rests again, the memory goes back to the system.
            onFreed: { [sweeper] in sweeper.wake() })
        server = Server(
            configuration: ServerConfiguration(
                maxReceiveBytes: limits.coreMessageBytes, maxMetadataBytes: limits.coreMetadataBytes,
                maxStreamsPerConnection: limits.streams, memoryQuotaBytes: limits.memoryQuotaBytes),
            queue: queue, connections: connections)
        InvokeService(invoker: invoker, sweeper: sweeper, gate: gate).register(on: server, boundTo: calls)
        invokes = InvokesService(invoker: invoker, gate: gate)
        invokes.register(on: server)

        let starts = StartQueue(limit: limits.starts)
        containment = Containment(launcher: configuration.launcher, logger: logger)
        templates = try TemplatePool(
            launcher: configuration.launcher, containment: containment, logs: logs, tasks: tasks, starts: starts,
            logger: logger)
        let folders = ContainerFolders(dataFolder: folder.path, link: folder.containerFolder)
        containers = ContainerHost(
            id: folder.gatewayID, folders: folders, tasks: tasks, logger: logger, container: OwnContainer.id(),
            makeEngine: configuration.makeEngine)
        let place = "\(HostAddress(host: Self.hostName, port: acceptor.port))"
        swarm = try configuration.swarm.map { [folder, links, tasks] in
            try SwarmHost(
                id: folder.gatewayID, place: place, configuration: $0, links: links, folders: folders, tasks: tasks,
                logger: logger)
        }
        let context = SupervisionContext(
            links: links, logs: logs, limits: limits, launcher: configuration.launcher,
            containment: containment, variables: configuration.variables, logger: logger, changes: changes,
            tasks: tasks, starts: starts, templates: templates, gpus: gpus,
            inventory: GPUInventory(
                variables: configuration.variables, launcher: configuration.launcher, logger: logger),
            containers: containers, swarm: swarm)
        logFolder = LogFolder(path: "\(folder.path)/logs", limits: limits)
        watchdog = Watchdog(
            limit: limits.stallTimeout,
            heartbeats: pulses + [links.heartbeat, sweeper.heartbeat, logs.heartbeat] + logFolder.writers.heartbeats,
            logger: logger
        ) { [changes] in changes.announce() }
        registry = FunctionRegistry(
            store: store, records: RecordFolder(path: "\(folder.path)/records"), reserve: reserve, bundles: bundles,
            planner: FunctionPlanner(
                bundles: bundles, interpreters: interpreters, environments: environments,
                defaultPython: configuration.python, containers: containers, swarm: swarm,
                defaultDeploy: configuration.deploy, limits: limits),
            routes: routes,
            routing: RouteContext(queuedBytes: QueuedBytes(limit: limits.queuedBytes), busy: busy),
            logs: logFolder, context: context)
        let health = HealthService(
            functions: registry.directory, gate: gate, watchdog: watchdog, maxMetadataBytes: limits.metadataBytes)
        health.register(on: server, boundTo: queue)
        changes.observe { health.wake() }
        service = GatewayService(
            management: ManagementService(
                registry: registry, gate: gate,
                about: GatewayInfo(dataFolder: folder.path, deploy: configuration.deploy, gpus: gpus)),
            deploys: DeployService(registry: registry), uploads: UploadService(bundles: bundles, store: store),
            logs: LogService(registry: registry),
            reflection: ReflectionService(), maxMetadataBytes: limits.metadataBytes, draining: draining)
    }

    /// Serves until it is told to shut down, then drains: accepted calls are finished as far as the limits allow.
    package func run() async throws {
        // A registry that cannot be read is not an empty one: nothing is served then.
        let stored = try store.all { [logger, store] in logger.error("the registry \(store.path): \($0)") }
        try await prepareSwarm()
        await containment.prepareForTheEnd()
        links.start()
        sweeper.start()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [tasks] in await tasks.run() }
            group.addTask { [self] in await writeCounts() }
            removeUnfinished()
            let runsContainers = hasContainers(stored)
            if runsContainers { await containers.findLeft() }
            await registry.restore(stored)
            group.addTask { [self] in await tidy() }
            group.addTask { [self] in await removeUnusedEnvironments() }
            if runsContainers { group.addTask { [containers] in await containers.removeLeft() } }
            group.addTask { [self] in await followLoad() }
            group.addTask { [self] in await giveBackCode() }
            if let swarm { group.addTask { await swarm.removeUnclaimed() } }
            if let swarm { group.addTask { [registry] in await swarm.follow { await registry.follow(shared: $0) } } }
            server.start()
            group.addTask { [self] in await service.run(server.calls) }
            group.addTask { [self] in await pulse() }
            watchdog.start()
            listen()
            await Self.waitForShutdown()
            await serveAsLameDuck()
            await drain()
            group.cancelAll()
        }
        await finish()
    }

    /// A gateway of a Swarm without one is of no use: it does not start.
    private func prepareSwarm() async throws {
        guard let swarm else { return }
        do throws(EngineError) { try await swarm.prepare() } catch {
            await swarm.shutdown()
            throw GatewayError.component("\(error)")
        }
    }

    /// What this machine is called.
    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private func listen() {
        let limits = configuration.limits
        let most = AcceptorLimits.descriptorMax(
            Int32(clamping: limits.descriptors), reserve: Int32(clamping: limits.descriptorReserve))
        acceptor.start(
            limits: AcceptorLimits(prefaceTimeout: limits.prefaceTimeout, descriptorMax: most), connections: connections
        ) { [server] in server.adopt($0) }
        let address = HostAddress(host: configuration.address.host, port: acceptor.port)
        if !acceptor.isLoopback {
            logger.warning("calls to \(address) are not encrypted (--allow-plaintext)")
        }
        logger.info("listening on \(address)")
    }

    private static func waitForShutdown() async {
        try? await gracefulShutdown()
    }

    private func writeCounts() async {
        while !Task.isCancelled {
            do { try await Task.sleep(for: Self.countsInterval) } catch { return }
            await registry.writeInvocations()
        }
    }

    /// A while after the start, and after each change.
    private func giveBackCode() async {
        while !Task.isCancelled {
            let change = changes.upcoming
            do { try await Task.sleep(for: Self.codeInterval) } catch { return }
            CodeMemory.giveBack()
            guard await change.value() != nil else { return }
        }
    }

    /// Shows the watchdog that what it looks at moves.
    private func pulse() async {
        let interval = min(Self.pulseInterval, configuration.limits.stallTimeout / 10)
        await withTaskGroup(of: Void.self) { group in
            for (index, heartbeat) in pulses.enumerated() {
                group.addTask { [registry, tasks] in
                    heartbeat.begin()
                    defer { heartbeat.end() }
                    while true {
                        do { try await Task.sleep(for: interval) } catch { return }
                        switch index {
                        case 0: heartbeat.beat()
                        case 1:
                            await registry.pass()
                            heartbeat.beat()
                        default: tasks.add { heartbeat.beat() }
                        }
                    }
                }
            }
        }
    }

    private func followLoad() async {
        while !Task.isCancelled {
            do { try await Task.sleep(for: Self.scaleInterval) } catch { return }
            await registry.followLoad()
        }
    }

    private func tidy() async {
        let limits = configuration.limits
        let interval = min(Self.tidyInterval, limits.uploadsUnused, limits.logKept)
        while !Task.isCancelled {
            do { try await Task.sleep(for: interval) } catch { return }
            await registry.tidy()
        }
    }

    private func removeUnusedEnvironments() async {
        let interval = min(Self.environmentsInterval, configuration.limits.environmentsUnused)
        while !Task.isCancelled {
            await registry.removeUnusedEnvironments(atOnce: false)
            do { try await Task.sleep(for: interval) } catch { return }
        }
    }

    /// What builds left unfinished that a gateway before this one began.
    private func removeUnfinished() {
        do throws(EnvironmentError) {
            try environments.removeUnfinished()
        } catch {
            logger.warning("unfinished environments are not removed: \(error)")
        }
    }

    /// A gateway that never runs containers does not ask for an engine.
    private func hasContainers(_ stored: [StoredFunction]) -> Bool {
        configuration.deploy == .image || stored.flatMap(\.versions).contains { $0.deploy == .image }
    }

    /// Serves on while health says NOT_SERVING, so that callers and balancers have the time to go elsewhere. Before its end
    /// the listener closes: a balancer that does not ask for health tries another gateway then. What had connected by then
    /// has the rest of the time to say what it wants.
    private func serveAsLameDuck() async {
        let time = configuration.limits.lameDuck
        guard time > .zero else { return }
        logger.info("calls are taken for \(time.text) more; health says NOT_SERVING")
        gate.beginLameDuck()
        changes.announce()
        let handshake = min(Self.handshakeTime, time / 4)
        try? await Task.sleep(for: time - handshake * 2)
        acceptor.finishAccepting()
        try? await Task.sleep(for: handshake)
        acceptor.stop()
        try? await Task.sleep(for: handshake)
    }

    /// Takes no more calls, finishes those that were accepted as far as the limits allow, and ends everything that runs.
    private func drain() async {
        acceptor.stop()
        gate.close()
        logger.info("draining: \(gate.count) calls")
        await withTaskGroup(of: Void.self) { group in
            // Tells each connection (GOAWAY) that it takes no more calls, and returns when all calls have ended.
            group.addTask { [server] in await server.shutdown() }
            await finishCalls()
            await endReplicas()
            // The last answers reach their callers; then ends what is still open: a health watcher's stream, say, or the
            // connection of a peer that does not answer.
            group.addTask { [server] in
                do { try await Task.sleep(for: Self.flushTime) } catch { return }
                server.cancelAllCalls()
            }
            await group.next()
            group.cancelAll()
        }
    }

    private func finishCalls() async {
        draining.settle(())
        invokes.drain()
        changes.announce()
        swarm?.beginStop()
        await registry.beginDrain()
        let deadline = MonotonicTime.now.advanced(by: configuration.limits.drain)
        while gate.count > 0 || service.unfinished > 0, MonotonicTime.now < deadline {
            try? await Task.sleep(for: .milliseconds(5))
        }
    }

    private func endReplicas() async {
        await registry.stopAll(within: configuration.limits.stop)
        templates.endAll()
        await containers.finish()
        await swarm?.finish()
        await registry.writeInvocations()
        watchdog.stop()
        tasks.finish()
        await containers.shutdown()
        await swarm?.shutdown()
    }

    private func finish() async {
        containment.end()
        sweeper.stop()
        links.stop()
        templates.stop()
        logs.stop()
        await within(configuration.limits.logFlush) { [logs, logFolder] in
            await logs.waitUntilStopped()
            await logFolder.writers.written()
        }
        queue.shutdown()
        do { try store.close() } catch { logger.warning("\(error)") }
        logger.info("stopped")
    }
}
