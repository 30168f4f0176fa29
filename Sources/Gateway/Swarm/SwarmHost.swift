internal import Engine
internal import Environments
internal import FunctionConfig
internal import Locks
internal import Logging

/// The services of this gateway in its Swarm, and the one place that asks the Swarm's manager about them.
///
/// A service or secret is this gateway's when it carries the gateway's id, which the data folder keeps; no other is ever touched.
final class SwarmHost: Sendable {
    private struct Key: Hashable {
        var name: String
        var version: Int
        /// The service's, where it is another gateway's: that may make it anew.
        var shared: String?

        init(_ plan: FunctionPlan) {
            self.init(plan.record)
            shared = plan.shared?.id
        }

        init(_ record: VersionRecord) {
            (name, version) = (record.name, record.version)
        }
    }

    private struct Entry {
        var service: SwarmService
        var seats: Int
        var isClosing = false
    }

    private struct State {
        var entries: [Key: Entry] = [:]
        /// What tasks dial.
        var link = ""
        /// Services of an earlier life of this gateway, until they are taken over.
        var left: [Key: SharedService] = [:]
        var nodes: [String: String] = [:]
        var credentials: [String: RegistryCredentials] = [:]
        var removals: [UInt64: Promise<Void>] = [:]
        var nextRemoval: UInt64 = 0
        /// Ends the pause before the next look at the tasks.
        var alarm = Promise<Void>()
        /// Until when things change.
        var busyUntil = ContinuousClock.now
        var isStopped = false
    }

    private static let secretsMax = 500 << 10
    /// How long services that are left may wait for their functions to start.
    private static let adoptionTime = Duration.seconds(30)
    private static let quickLook = Duration.milliseconds(500)
    private static let slowLook = Duration.seconds(5)
    private static let busyTime = Duration.seconds(10)
    /// A secret cannot go before its service has.
    private static let secretTries = 30
    private static let secretPause = Duration.milliseconds(300)
    /// How long a removal may keep those who wait for it.
    private static let removalTime = Duration.seconds(10)
    private static let networkTime = Duration.seconds(10)
    private static let networkPause = Duration.milliseconds(50)

    let engine: any SwarmEngine
    let links: LinkServer
    let tasks: TaskPool
    let logger: Logger
    private let id: String
    private let place: String
    private let configuration: SwarmConfiguration
    private let folders: ContainerFolders
    private let state = Lock(State(), .swarmHost)

    /// - Parameters:
    ///   - id: the gateway's.
    ///   - place: where others of its group can tell people that it listens, `HOST:PORT`.
    init(
        id: String, place: String, configuration: SwarmConfiguration, links: LinkServer, folders: ContainerFolders,
        tasks: TaskPool,
        logger: Logger
    ) throws(EngineError) {
        self.id = id
        self.place = place
        self.configuration = configuration
        self.links = links
        self.folders = folders
        self.tasks = tasks
        self.logger = logger
        engine = try configuration.makeEngine()
    }

    private var labels: [String: String] { [ContainerHost.Label.gateway: id] }

    var isStopped: Bool { state.withLock { $0.isStopped } }

    /// What tasks dial, `tcp:HOST:PORT`.
    var link: String { state.withLock { $0.link } }

    func nodeName(_ id: String) -> String { state.withLock { $0.nodes[id] } ?? String(id.prefix(12)) }

    // MARK: Start and stop of the gateway

    /// Checks that this machine manages a Swarm, makes the overlay, and takes away what a gateway of this id left behind:
    /// its tasks have lost their links, so new ones are started either way. Those of a group have others, and are taken over.
    func prepare() async throws(EngineError) {
        let info = try await engine.info()
        guard info.isInSwarm else {
            throw EngineError(
                .failed,
                "this machine's engine is not part of a Swarm; make one (docker swarm init), or join one as a manager, or "
                    + "start the gateway with --engine docker")
        }
        guard info.isManager else {
            throw EngineError(
                .failed,
                "this machine is a worker of its Swarm, and only managers can be asked to run services; start the gateway on a "
                    + "manager, or make this one (docker node promote, on a manager)")
        }
        var advertised = configuration.advertised
        if advertised.isEmpty { advertised = [HostAddress(host: info.nodeAddress, port: 0)] }
        let own = links.tcpPort ?? 0
        let address =
            advertised
            .map { "tcp:\(HostAddress(host: $0.host, port: $0.port == 0 ? own : $0.port))" }.joined(separator: ",")
        state.withLock { $0.link = address }
        try await prepareOverlay()
        logger.info("tasks dial \(address)")
        if !configuration.isLoopback {
            logger.warning(
                """
                links between tasks and \(address) are encrypted only where this gateway is itself a container on the \
                overlay \(configuration.overlay) and that name is its own there (--allow-plaintext)
                """)
        }
        try await removeLeft()
    }

    private func prepareOverlay() async throws(EngineError) {
        let name = configuration.overlay
        let isPlain = configuration.allowsPlaintextOverlay
        var found = try await made(network: name)
        if found == nil {
            do throws(EngineError) {
                try await engine.createOverlay(name, isEncrypted: !isPlain, labels: labels)
                logger.info("made the overlay network \(name), \(isPlain ? "not encrypted" : "encrypted")")
            } catch {
                // Another gateway was quicker.
                guard error.kind == .conflict else { throw error }
            }
            found = try await made(network: name)
        }
        guard let network = found else { return }
        guard network.driver == "overlay" else {
            throw EngineError(
                .failed, "network \(name) is no overlay network but \(network.driver); name another with --overlay")
        }
        guard network.isEncrypted || isPlain else {
            throw EngineError(
                .failed,
                "the overlay network \(name) is not encrypted; if that is meant, say --overlay-plaintext, else name another "
                    + "with --overlay")
        }
        if !network.isEncrypted { logger.warning("the overlay network \(name) is not encrypted (--overlay-plaintext)") }
    }

    /// A network that was created a moment ago has neither driver nor options, until the Swarm has made it.
    private func made(network name: String) async throws(EngineError) -> SwarmNetwork? {
        let end = ContinuousClock.now + Self.networkTime
        while true {
            let found = try await engine.network(name)
            guard let found, found.driver.isEmpty else { return found }
            guard ContinuousClock.now < end else {
                throw EngineError(.failed, "the Swarm has not made network \(name) within \(Self.networkTime)")
            }
            try? await Task.sleep(for: Self.networkPause)
        }
    }

    private func removeLeft() async throws(EngineError) {
        var left = try await engine.services(labels: labels).filter {
            $0.labels[ContainerHost.Label.gateway] == id
        }
        var secrets = Set(try await engine.secrets(labels: labels).values)
        if let group = configuration.group {
            let kept = left.compactMap { SharedService($0, group: group) }
            left.removeAll { service in kept.contains { $0.id == service.id } }
            secrets.subtract(kept.flatMap(\.secrets))
            state.withLock { state in
                for service in kept {
                    state.left[Key(service.record)] = service
                }
            }
        }
        for service in left { try await engine.removeService(service.id) }
        if !left.isEmpty { logger.info("removed \(left.count) services that were left behind") }
        if !secrets.isEmpty { discard(secrets: Array(secrets)) }
    }

    /// Takes away what was left for functions of this gateway that do not want it any more.
    func removeUnclaimed(after delay: Duration = adoptionTime) async {
        guard configuration.group != nil else { return }
        do { try await Task.sleep(for: delay) } catch { return }
        let left = state.withLock { state in
            defer { state.left = [:] }
            return state.left.values.map { $0 }
        }
        for service in left { discard(service) }
        for service in state.withLock({ $0.entries.values.map(\.service) }) { service.releaseUnclaimed() }
        if !left.isEmpty { logger.info("removed \(left.count) services that were left behind") }
    }

    /// Whether services stay though this gateway ends: others of the group give them calls, and it finds them again.
    var outlivesThis: Bool { configuration.group != nil && isStopped }

    private func discard(_ service: SharedService) {
        tasks.add { [self] in
            do throws(EngineError) { try await engine.removeService(service.id) } catch {
                logger.warning("\(error); the next start tries again")
            }
        }
        discard(secrets: service.secrets)
    }

    /// Services go with their last replica; nothing waits for tasks any more.
    func beginStop() {
        state.withLock { $0.isStopped = true }
    }

    /// Waits until what is being taken away is gone.
    func finish() async {
        let removals = state.withLock { Array($0.removals.values) }
        for removal in removals { _ = await removal.value() }
    }

    func shutdown() async {
        await engine.shutdown()
    }

    // MARK: Seats

    /// A place for one replica in the service of its version.
    func seat(_ plan: FunctionPlan, _ source: ImageSource, replica: Int, log: FunctionLog) async -> SwarmSeat {
        let key = Key(plan)
        while true {
            var isNew = false
            let (service, isClosing, stale) = state.withLock { state -> (SwarmService, Bool, SharedService?) in
                if let entry = state.entries[key] {
                    if !entry.isClosing { state.entries[key]?.seats += 1 }
                    return (entry.service, entry.isClosing, nil)
                }
                isNew = true
                let found = state.left.removeValue(forKey: key)
                let left = found?.record.createdAt == plan.record.createdAt ? found : nil
                let service = SwarmService(plan: plan, source: source, host: self, log: log, left: left)
                links.open(service.token)
                state.entries[key] = Entry(service: service, seats: 1)
                return (service, false, left == nil ? found : nil)
            }
            if isNew { service.begin() }
            // Of the same name, and deployed anew since.
            if let stale { discard(stale) }
            guard isClosing else {
                service.resize(by: 1)
                return SwarmSeat(service: service, number: replica)
            }
            await service.waitUntilClosed()
        }
    }

    func leave(_ service: SwarmService) async {
        let key = Key(service.plan)
        let left = state.withLock { state -> Int in
            guard var entry = state.entries[key], entry.service === service else { return 1 }
            entry.seats -= 1
            entry.isClosing = entry.seats == 0
            state.entries[key] = entry
            return entry.seats
        }
        guard left == 0 else {
            if !outlivesThis { service.resize(by: -1) }
            return
        }
        links.close(service.token)
        await service.close(staying: service.isShared || outlivesThis) {
            self.state.withLock { $0.entries[key] = nil }
        }
    }

    // MARK: Services

    /// Which the nodes get an image with; kept in memory alone.
    func keep(_ credentials: RegistryCredentials, for image: String) {
        state.withLock { $0.credentials[image] = credentials }
    }

    func credentials(for image: String) -> RegistryCredentials? { state.withLock { $0.credentials[image] } }

    /// What all tasks of a service show, and what tells the others of the group how to know it.
    func makeToken(for plan: FunctionPlan) -> (LinkToken, labels: [String: String]) {
        guard let group = configuration.group else { return (LinkToken(), [:]) }
        let nonce = LinkToken().text
        return (
            group.token(of: plan.name, version: plan.record.version, nonce: nonce),
            SharedService.labels(of: plan.record, nonce: nonce, group: group, place: place)
        )
    }

    /// A version's service, without its secrets.
    func spec(_ plan: FunctionPlan, _ source: ImageSource) throws(EngineError) -> ServiceSpec {
        let config = plan.config
        guard config.container.network == nil else {
            throw EngineError(
                .failed, "container.network is not for a Swarm, whose tasks are on the overlay; remove it")
        }
        var container = ContainerSpec(
            image: source.reference, imageUser: source.user, imageVariables: source.variables, of: config)
        container.environment.merge(plan.record.environment) { own, _ in own }
        container.environment["DCF_LINK"] = link
        container.environment["DCF_TOKEN_FILE"] = Self.tokenFile
        container.environment["DCF_TASK"] = "{{.Task.ID}}"
        if link.contains(",") { container.environment["DCF_RETURN"] = "\(Self.returnSeconds)" }
        if !container.mayGainPrivileges { container.environment["DCF_NO_NEW_PRIVS"] = "1" }
        let own = [
            ContainerHost.Label.gateway: id, ContainerHost.Label.function: plan.name,
            ContainerHost.Label.version: "\(plan.record.version)",
        ]
        container.labels = own
        var spec = ServiceSpec(
            name: "dcf-\(plan.name)-v\(plan.record.version)-\(id.prefix(8))", container: container,
            network: configuration.overlay, replicas: 0)
        spec.labels = own
        spec.constraints = plan.record.constraints
        spec.architecture = source.architecture
        spec.gpus = config.limits.gpu
        return spec
    }

    /// How long a task goes on when none of its gateways is there.
    private static let returnSeconds = 30
    private static let tokenFile = "/run/secrets/.dcf-token"

    /// The token, and the function's secrets, each told as soon as it is made.
    func makeSecrets(
        of spec: ServiceSpec, _ plan: FunctionPlan, _ token: LinkToken, _ made: (ServiceSpec.Secret) -> Void
    ) async throws(EngineError) {
        let names = plan.record.secrets
        if let missing = folders.missing(of: names) { throw .noSecret(missing, folder: folders.secrets) }
        var contents = [(file: ".dcf-token", bytes: Array(token.text.utf8))]
        do throws(FileError) {
            for name in names {
                contents.append((name, try WholeFile.read("\(folders.secrets)/\(name)", limit: Self.secretsMax)))
            }
        } catch { throw EngineError(.failed, "secrets: \(error)") }
        // A user whom only the image knows has no number here.
        let user = spec.container.user.flatMap { UInt32($0.prefix { $0 != ":" }) }
        let nonce = LinkToken().text.prefix(8)
        for (index, content) in contents.enumerated() {
            let name = "\(spec.name.prefix(40))-\(nonce)-\(index)"
            let id = try await engine.createSecret(name, content.bytes, labels: spec.labels)
            made(
                ServiceSpec.Secret(
                    id: id, name: name, file: content.file, user: user ?? 0, mode: user == nil ? 0o444 : 0o400))
        }
    }

    /// - Returns: its id.
    func make(_ spec: ServiceSpec, image: String) async throws(EngineError) -> String {
        do throws(EngineError) {
            return try await engine.createService(spec, credentials: credentials(for: image))
        } catch {
            guard error.description.contains("already exists"), let other = try await engine.service(spec.name) else {
                throw error
            }
            guard other.labels[ContainerHost.Label.gateway] == id else {
                throw EngineError(
                    .conflict,
                    "the Swarm has a service named \(spec.name) that is not this gateway's; remove or rename it")
            }
            // What was left when it could not be removed.
            try await engine.removeService(other.id)
            return try await engine.createService(spec, credentials: credentials(for: image))
        }
    }

    /// Returns when it is removed, or after a while.
    func remove(service id: String, of plan: FunctionPlan) async {
        await within(Self.removalTime) { [self] in
            do throws(EngineError) { try await engine.removeService(id) } catch {
                logger.warning(
                    "the service of \(plan.name)@\(plan.record.version) is not removed; the next start does it: \(error)"
                )
            }
        }
    }

    /// Takes secrets away, soon: nobody has to wait for it but `finish`.
    func discard(secrets: [String]) {
        guard !secrets.isEmpty else { return }
        let done = Promise<Void>()
        let number = state.withLock { state in
            state.nextRemoval += 1
            state.removals[state.nextRemoval] = done
            return state.nextRemoval
        }
        tasks.add { [self] in
            for secret in secrets { await remove(secret: secret) }
            state.withLock { $0.removals[number] = nil }
            done.settle(())
        }
    }

    private func remove(secret id: String) async {
        for attempt in 1...Self.secretTries {
            do throws(EngineError) {
                try await engine.removeSecret(id)
                return
            } catch {
                guard error.description.contains("in use"), attempt < Self.secretTries else {
                    logger.warning("\(error); the next start tries again")
                    return
                }
            }
            do { try await Task.sleep(for: Self.secretPause) } catch { return }
        }
    }

    // MARK: The group

    /// How the calls of a function are divided from now on: for the others of the group.
    func tell(_ traffic: Traffic, of function: String) {
        guard configuration.group != nil else { return }
        let services = state.withLock { state in
            state.entries.filter { $0.key.name == function && !$0.value.isClosing }.map(\.value.service)
        }
        for service in services { service.setTraffic(traffic.weight(of: service.plan.record.version)) }
    }

    /// What the other gateways of the group have deployed; nil where the engine does not say, or there is no group.
    private func lookAtGroup() async -> [SharedService]? {
        guard let group = configuration.group,
            let services = try? await engine.services(labels: SharedService.labels(of: group))
        else { return nil }
        return services.compactMap { SharedService($0, group: group) }.filter { $0.owner != id }
    }

    // MARK: Tasks

    /// All tasks of this gateway's services.
    func tasksNow() async throws(EngineError) -> [SwarmTask] {
        guard let group = configuration.group else { return try await engine.tasks(labels: labels) }
        return try await engine.tasks(labels: SharedService.labels(of: group))
    }

    /// Something changes: the tasks are looked at soon, and often for a while.
    func wake() {
        let alarm = state.withLock { state in
            state.busyUntil = .now + Self.busyTime
            return state.alarm
        }
        alarm.settle(())
    }

    /// Looks at the tasks for as long as the gateway runs. An engine that does not answer changes nothing.
    ///
    /// - Parameter onShared: told what the other gateways of the group have, again and again.
    func follow(onShared: ([SharedService]) async -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [self] in
                while !Task.isCancelled {
                    try? await engine.followSwarm { [self] in wake() }
                    do { try await Task.sleep(for: Self.slowLook) } catch { return }
                }
            }
            while !Task.isCancelled {
                let services = state.withLock { $0.entries.values.map(\.service) }
                if let shared = await lookAtGroup() { await onShared(shared) }
                if !services.isEmpty { await look(services) }
                await pause(services)
            }
            group.cancelAll()
        }
    }

    private func look(_ services: [SwarmService]) async {
        guard let found = try? await tasksNow() else { return }
        var down: Set<String> = []
        if let nodes = try? await engine.nodes() {
            down = Set(nodes.filter { $0.state == "down" }.map(\.id))
            state.withLock { $0.nodes = Dictionary(nodes.map { ($0.id, $0.name) }) { first, _ in first } }
        }
        for service in services { service.look(found, down: down) }
    }

    private func pause(_ services: [SwarmService]) async {
        let alarm = Promise<Void>()
        let isBusy = state.withLock { state in
            state.alarm = alarm
            return state.busyUntil > .now
        }
        let hasWaiting = services.contains { $0.hasWaiting }
        // What wakes it comes in bursts.
        do { try await Task.sleep(for: .milliseconds(100)) } catch { return }
        let time = isBusy || hasWaiting ? Self.quickLook : Self.slowLook
        _ = await alarm.value(within: time)
    }
}
