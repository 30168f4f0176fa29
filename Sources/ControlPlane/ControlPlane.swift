package import Calls
internal import Engine
internal import Environments
internal import FunctionConfig
internal import Glibc
package import Link
package import Logging
package import Platform

/// The control plane: the registry of functions, the replicas and their supervision, logs, devices, containers and
/// Swarm.
///
/// Fronts offer its services. Calls do not pass through it.
package final class ControlPlane: Sendable {
    /// How often the counts of calls are written.
    private static let countsInterval = Duration.seconds(5)
    /// How often the parts that the watchdog checks show that they make progress.
    private static let pulseInterval = Duration.seconds(1)
    /// How long after a change the memory of code is given back.
    private static let codeInterval = Duration.seconds(3)
    /// How often the number of replicas is compared with the load.
    private static let scaleInterval = Duration.milliseconds(250)
    /// How often leftover files are removed.
    private static let tidyInterval = Duration.seconds(60)
    /// How often environments that no function needs are removed.
    private static let environmentsInterval = Duration.seconds(86_400)

    package let management: ManagementService
    package let deploys: DeployService
    package let uploads: UploadService
    package let logs: LogService
    package let health: Health
    /// Settled when the control plane accepts no more changes.
    package let draining = Promise<Void>()

    private let configuration: ControlConfiguration
    private let logger: Logger
    private let pump: LogPump
    private let logFolder: LogFolder
    private let watchdog: Watchdog
    /// The heartbeats of Swift's threads, of the registry and of the pool of tasks, in the order in which `pulse` beats
    /// them.
    private let pulses = [Heartbeat("Swift's threads"), Heartbeat("the registry"), Heartbeat("the pool of tasks")]
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

    /// Opens the registry. Nothing runs yet.
    ///
    /// - Parameters:
    ///   - folder: the data folder of this gateway.
    ///   - calls: the plane that takes functions' calls.
    ///   - place: the address of this gateway, for the other gateways of a group.
    ///   - heartbeats: more heartbeats for the watchdog, beside those of the control plane.
    package init(
        _ configuration: ControlConfiguration, folder: DataFolder, calls: CallPlane, links: LinkServer, place: String,
        heartbeats: [Heartbeat], logger: Logger
    ) throws {
        self.configuration = configuration
        self.logger = logger
        let limits = configuration.limits
        let reserve = DataReserve(folder: folder.path)
        store = try Self.openStore(in: folder, reserve)
        let bundles = try BundleStore(
            dataFolder: folder.path,
            limits: BundleLimits(contentBytes: UInt64(limits.bundleBytes), entries: limits.bundleFiles))
        environments = EnvironmentCache(
            root: "\(folder.path)/environments", launcher: configuration.launcher, variables: configuration.variables)
        pump = try LogPump()
        let starts = StartQueue(limit: limits.starts)
        containment = Containment(launcher: configuration.launcher, logger: logger)
        templates = try TemplatePool(
            launcher: configuration.launcher, containment: containment, logs: pump, tasks: tasks, starts: starts,
            logger: logger)
        let folders = ContainerFolders(dataFolder: folder.path, link: folder.containerFolder)
        containers = ContainerHost(
            id: folder.gatewayID, folders: folders, tasks: tasks, logger: logger, container: OwnContainer.id(),
            makeEngine: configuration.makeEngine)
        swarm = try configuration.swarm.map { [folder, tasks] in
            try SwarmHost(
                id: folder.gatewayID, place: place, configuration: $0, links: links, folders: folders, tasks: tasks,
                logger: logger)
        }
        let places = ReplicaPlaces(
            processes: ProcessHost(
                socket: links.path, logs: pump, launcher: configuration.launcher, containment: containment,
                variables: configuration.variables, templates: templates),
            containers: containers, swarm: swarm, logs: pump)
        let context = SupervisionContext(
            links: links, limits: limits, variables: configuration.variables, logger: logger, changes: changes,
            tasks: tasks, starts: starts, templates: templates, gpus: gpus,
            inventory: GPUInventory(
                variables: configuration.variables, launcher: configuration.launcher, logger: logger),
            place: places.place)
        logFolder = LogFolder(path: "\(folder.path)/logs", limits: limits)
        let allHeartbeats = pulses + heartbeats + [pump.heartbeat] + logFolder.writers.heartbeats
        watchdog = Watchdog(limit: limits.stallTimeout, heartbeats: allHeartbeats, logger: logger) { [changes] in
            changes.announce()
        }
        registry = FunctionRegistry(
            store: store, records: RecordFolder(path: "\(folder.path)/records"), reserve: reserve, bundles: bundles,
            planner: Self.makePlanner(
                configuration, folder, bundles: bundles, environments: environments, containers: containers,
                swarm: swarm),
            routes: calls.routes, routing: calls.routing, logs: logFolder, context: context,
            containers: containers, swarm: swarm)
        health = Health(functions: registry.directory, gate: calls.gate, watchdog: watchdog, changes: changes)
        management = ManagementService(
            registry: registry, about: GatewayInfo(dataFolder: folder.path, kind: configuration.deploy, gpus: gpus))
        deploys = DeployService(registry: registry)
        uploads = UploadService(bundles: bundles, store: store)
        logs = LogService(registry: registry)
    }

    /// Opens the registry. On a full disk it uses the room that is kept in reserve.
    private static func openStore(in folder: DataFolder, _ reserve: DataReserve) throws(RegistryError) -> FunctionStore
    {
        let store = try reserve.lend { () throws(RegistryError) in
            try FunctionStore(path: "\(folder.path)/registry.sqlite")
        }
        reserve.refill()
        return store
    }

    private static func makePlanner(
        _ configuration: ControlConfiguration, _ folder: DataFolder, bundles: BundleStore,
        environments: EnvironmentCache, containers: ContainerHost, swarm: SwarmHost?
    ) -> FunctionPlanner {
        let interpreters = InterpreterFinder(
            cacheFolder: "\(folder.path)/environments", launcher: configuration.launcher,
            variables: configuration.variables)
        return FunctionPlanner(
            bundles: bundles, interpreters: interpreters, environments: environments,
            defaultPython: configuration.python, containers: containers, swarm: swarm,
            defaultKind: configuration.deploy, limits: configuration.limits)
    }

    // MARK: Start and stop

    /// Reads what is deployed, and prepares what it runs on. Nothing runs yet.
    ///
    /// - Throws: where the gateway cannot serve. An unreadable registry is not an empty one.
    package func prepare() async throws -> [StoredFunction] {
        let stored = try store.all { [logger, store] in logger.error("the registry \(store.path): \($0)") }
        try await prepareSwarm()
        await containment.prepareForTheEnd()
        return stored
    }

    /// Runs all deployed functions and `serve`, and returns when `serve` has returned.
    ///
    /// - Parameter stored: what `prepare` has read.
    package func run(_ stored: [StoredFunction], _ serve: () async -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [tasks] in await tasks.run() }
            group.addTask { [self] in await writeCounts() }
            removeUnfinished()
            let runsContainers = hasContainers(stored)
            if runsContainers { await containers.findOrphans() }
            await registry.restore(stored)
            group.addTask { [self] in await tidy() }
            group.addTask { [self] in await removeUnusedEnvironments() }
            if runsContainers { group.addTask { [containers] in await containers.removeOrphans() } }
            group.addTask { [self] in await followLoad() }
            group.addTask { [self] in await giveBackCode() }
            if let swarm { group.addTask { await swarm.removeUnclaimed() } }
            if let swarm { group.addTask { [registry] in await swarm.follow { await registry.follow(shared: $0) } } }
            group.addTask { [self] in await pulse() }
            watchdog.start()
            await serve()
            group.cancelAll()
        }
    }

    /// Accepts no more changes, and makes health say so.
    package func beginDrain() async {
        draining.settle(())
        changes.announce()
        swarm?.beginStop()
        await registry.beginDrain()
    }

    /// Tells observers of health that something has changed.
    package func announce() {
        changes.announce()
    }

    /// Ends all replicas after their calls have ended.
    package func endReplicas() async {
        await registry.stopAll(within: configuration.limits.stop)
        templates.endAll()
        await containers.finish()
        await swarm?.finish()
        await registry.writeCallCounts()
        watchdog.stop()
        tasks.finish()
        await containers.shutdown()
        await swarm?.shutdown()
    }

    /// Ends all processes that are left. Called after `run` has returned and before the links stop.
    package func endProcesses() {
        containment.end()
    }

    /// Writes the rest of the logs and closes the registry. Called after the links have stopped.
    package func close() async {
        templates.stop()
        pump.stop()
        await within(configuration.limits.logFlush) { [pump, logFolder] in
            await pump.waitUntilStopped()
            await logFolder.writers.written()
        }
        do { try store.close() } catch { logger.warning("\(error)") }
    }

    /// Connects to the Swarm. A gateway that uses a Swarm does not start without it.
    private func prepareSwarm() async throws {
        guard let swarm else { return }
        do throws(EngineError) { try await swarm.prepare() } catch {
            await swarm.shutdown()
            throw GatewayError.component("\(error)")
        }
    }

    // MARK: Background work

    private func writeCounts() async {
        while !Task.isCancelled {
            do { try await Task.sleep(for: Self.countsInterval) } catch { return }
            await registry.writeCallCounts()
        }
    }

    /// Gives the memory of code back some seconds after the start and after each change.
    private func giveBackCode() async {
        while !Task.isCancelled {
            let change = changes.upcoming
            do { try await Task.sleep(for: Self.codeInterval) } catch { return }
            CodeMemory.giveBack()
            guard await change.value() != nil else { return }
        }
    }

    /// Shows the watchdog that the threads, the registry and the pool of tasks make progress.
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
                            await registry.passThrough()
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

    /// Removes environments whose build an earlier gateway left unfinished.
    private func removeUnfinished() {
        do throws(EnvironmentError) {
            try environments.removeUnfinished()
        } catch {
            logger.warning("unfinished environments are not removed: \(error)")
        }
    }

    /// Whether functions run as containers. If not, the gateway does not talk to an engine.
    private func hasContainers(_ stored: [StoredFunction]) -> Bool {
        configuration.deploy == .image || stored.flatMap(\.versions).contains { $0.kind == .image }
    }
}
