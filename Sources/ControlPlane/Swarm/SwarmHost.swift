internal import Engine
internal import FunctionConfig
internal import Link
internal import Logging
internal import Platform

/// The services of this gateway in its Swarm. Only this type asks the Swarm's manager about them. Any thread may use
/// it.
///
/// A service or secret belongs to this gateway when its label has the gateway's id, which the data folder keeps. The
/// gateway never touches any other service or secret.
final class SwarmHost: Sendable {
    struct Key: Hashable {
        var name: String
        var version: Int
        /// The id of a service that another gateway owns, because that gateway may make the service again.
        var shared: String?

        init(_ plan: FunctionPlan) {
            self.init(plan.record)
            shared = plan.shared?.id
        }

        init(_ record: VersionRecord) {
            (name, version) = (record.name, record.version)
        }
    }

    struct Entry {
        var service: SwarmService
        /// How many slots the service has.
        var slots: Int
        var isClosing = false
    }

    struct State {
        var entries: [Key: Entry] = [:]
        /// What tasks dial: `tcp:HOST:PORT,...`.
        var link = ""
        /// Services of an earlier process of this gateway, until a function of this process adopts them.
        var orphans: [Key: SharedService] = [:]
        /// The nodes' names by their ids.
        var nodes: [String: String] = [:]
        /// By the image's name.
        var credentials: [String: RegistryCredentials] = [:]
        var removals: [UInt64: Promise<Void>] = [:]
        var nextRemoval: UInt64 = 0
        /// Set to end the pause before the next look at the tasks.
        var nextLook = Promise<Void>()
        /// Until then the tasks are looked at often.
        var busyUntil = ContinuousClock.now
        var isStopped = false
    }

    let engine: any SwarmEngine
    let links: LinkServer
    let tasks: TaskPool
    let logger: Logger
    let id: String
    let place: String
    let configuration: SwarmConfiguration
    let folders: ContainerFolders
    let state = Lock(State(), .swarmHost)

    /// - Parameters:
    ///   - id: the gateway's id.
    ///   - place: where the gateway listens, `HOST:PORT`. Other gateways of its group show it to users.
    init(
        id: String, place: String, configuration: SwarmConfiguration, links: LinkServer, folders: ContainerFolders,
        tasks: TaskPool, logger: Logger
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

    var labels: [String: String] { [EngineLabel.gateway: id] }

    var isStopped: Bool { state.withLock { $0.isStopped } }

    /// What tasks dial: `tcp:HOST:PORT,...`.
    var link: String { state.withLock { $0.link } }

    func nodeName(_ id: String) -> String { state.withLock { $0.nodes[id] } ?? String(id.prefix(12)) }

    // MARK: Slots

    /// Finds a slot for one replica in the service of its version. The first slot starts or adopts the service.
    func slot(_ plan: FunctionPlan, _ source: ImageSource, replica: Int, log: FunctionLog) async -> TaskSlot {
        let key = Key(plan)
        while true {
            var isNew = false
            let (service, isClosing, stale) = state.withLock { state -> (SwarmService, Bool, SharedService?) in
                if let entry = state.entries[key] {
                    if !entry.isClosing { state.entries[key]?.slots += 1 }
                    return (entry.service, entry.isClosing, nil)
                }
                isNew = true
                let found = state.orphans.removeValue(forKey: key)
                let orphan = found?.record.createdAt == plan.record.createdAt ? found : nil
                let service = SwarmService(plan: plan, source: source, host: self, log: log, orphan: orphan)
                links.open(service.token)
                state.entries[key] = Entry(service: service, slots: 1)
                return (service, false, orphan == nil ? found : nil)
            }
            if isNew { service.followExisting() }
            // A service of an earlier deploy with the same name and version.
            if let stale { discard(stale) }
            guard isClosing else {
                service.resize(by: 1)
                return TaskSlot(service: service, number: replica)
            }
            await service.waitUntilClosed()
        }
    }

    /// Gives up one slot of a service. The last slot's release removes the service.
    func releaseSlot(of service: SwarmService) async {
        let key = Key(service.plan)
        let slots = state.withLock { state -> Int in
            guard var entry = state.entries[key], entry.service === service else { return 1 }
            entry.slots -= 1
            entry.isClosing = entry.slots == 0
            state.entries[key] = entry
            return entry.slots
        }
        guard slots == 0 else {
            if !keepsServices { service.resize(by: -1) }
            return
        }
        links.close(service.token)
        await service.close(staying: service.isShared || keepsServices) {
            self.state.withLock { $0.entries[key] = nil }
        }
    }
}
