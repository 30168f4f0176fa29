@testable import Gateway
@testable import Environments
import FunctionConfig
import GRPC
import Logging
import Synchronization
import Testing

/// Replicas whose bodies are played: everything else of their supervision is real.
struct SupervisionTest {
    /// The bodies that were made, the first to the last.
    final class Bodies: Sendable {
        private let state = Mutex<[FakeBody]>([])
        private let changes: Changes

        init(_ changes: Changes) {
            self.changes = changes
        }

        var all: [FakeBody] { state.withLock { $0 } }

        func make(_ socket: String) -> FakeBody {
            let body = FakeBody(socket: socket)
            state.withLock { $0.append(body) }
            changes.announce()
            return body
        }

        /// The body of this number, from 0, once it is its turn to start.
        func begun(_ number: Int) async -> FakeBody {
            while true {
                let change = changes.upcoming
                let all = all
                if number < all.count {
                    await all[number].hasBegun()
                    return all[number]
                }
                _ = await change.value()
            }
        }
    }

    let folder: TemporaryFolder
    let context: SupervisionContext
    let bodies: Bodies
    let backoff: Backoff
    let route: FunctionRoute
    private let log: FunctionLog

    static let callTimeout = Duration.seconds(10)
    private static let settings = RouteSettings(callTimeout: callTimeout, queueBound: 10)

    /// - Parameters:
    ///   - starts: constructors at a time.
    ///   - restarts: how long it takes until a replica that died is started again.
    init(starts: Int = 8, restarts: RestartPolicy = RestartPolicy()) throws {
        backoff = Backoff(restarts)
        folder = try TemporaryFolder()
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let busy = BusyRoutes()
        let invoker = Invoker(
            routes: RouteTable(), sweeper: Sweeper(busy: busy, calls: CompletionQueue(name: "calls", threads: 0)),
            maxInputBytes: 1 << 20, maxMetadataBytes: 8 << 10, chainDepth: 8)
        let links = try LinkServer(
            path: "\(folder.path)/link", containerPath: "\(folder.path)/link.docker", maxBodyBytes: 1 << 20,
            invoker: invoker, logger: logger)
        let (logs, tasks, changes) = (try LogPump(), TaskPool(), Changes())
        let queue = StartQueue(limit: starts)
        let containment = Containment(launcher: "/none", logger: logger)
        context = SupervisionContext(
            links: links, logs: logs, limits: Limits(), launcher: "/none", containment: containment, variables: [:],
            logger: logger, changes: changes, tasks: tasks, starts: queue,
            templates: try TemplatePool(
                launcher: "/none", containment: containment, logs: logs, tasks: tasks, starts: queue, logger: logger),
            gpus: GPULeases(), inventory: GPUInventory(variables: [:], launcher: "/none", logger: logger),
            containers: ContainerHost(
                id: "", folders: ContainerFolders(dataFolder: folder.path, link: folder.path), tasks: tasks,
                logger: logger
            ) { FakeContainerEngine() },
            swarm: nil)
        bodies = Bodies(changes)
        log = FunctionLog(folder: folder.path + "/log")
        route = Self.makeRoute(busy)
    }

    private static func makeRoute(_ busy: BusyRoutes) -> FunctionRoute {
        FunctionRoute(
            name: "f", settings: settings, context: RouteContext(queuedBytes: QueuedBytes(limit: 1 << 20), busy: busy))
    }

    /// A route of another function.
    func anotherRoute() -> FunctionRoute { Self.makeRoute(BusyRoutes()) }

    /// - Parameter isActive: whether it is tried again when a replica dies.
    func set(isActive: Bool = true, of other: FunctionRoute? = nil) throws -> ReplicaSet {
        let record = VersionRecord(
            name: "f", version: 1, config: "{}", bundle: "", replicas: ReplicaRange(min: 1, max: 1), createdAt: 0)
        let python = PythonEnvironment(python: "/p", version: PythonVersion(3, 12), key: nil, wasBuilt: false)
        let plan = FunctionPlan(
            record: record, config: try FunctionConfig.parse(yaml: "{}", name: try FunctionName("f")),
            source: .process(ProcessSource(folder: "/f", python: python)), callTimeout: Self.callTimeout,
            startTimeout: .seconds(600), queueBound: 10)
        return ReplicaSet(
            plan: plan, context: context, log: log, route: other ?? route, isActive: isActive, backoff: backoff,
            makeBody: { [bodies] in bodies.make($0.context.links.path) })
    }

    /// Runs `body` with what it needs beside it.
    func run(_ body: @Sendable () async throws -> Void) async throws {
        context.links.start()
        try await context.tasks.serving(body)
        context.templates.stop()
        context.links.stop()
        context.logs.stop()
        log.close()
    }

    /// Waits until what is shown of the set's replicas is as asked.
    func wait(_ set: ReplicaSet, _ condition: ([ReplicaState]) -> Bool) async {
        while true {
            let change = context.changes.upcoming
            if condition(set.shown) { return }
            _ = await change.value()
        }
    }
}
