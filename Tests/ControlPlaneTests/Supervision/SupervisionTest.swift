import Calls
@testable import ControlPlane
@testable import Environments
import FunctionConfig
import Link
import Logging
import Platform
import Synchronization
import TestSupport
import Testing

/// Replicas with fake backends. Everything else of their supervision is real.
struct SupervisionTest {
    let folder: TemporaryFolder
    let context: SupervisionContext
    let replicas: FakeReplicas
    private let logs: LogPump
    let backoff: Backoff
    let route: FunctionRoute
    private let log: FunctionLog

    static let callTimeout = Duration.seconds(10)
    private static let settings = RouteSettings(callTimeout: callTimeout, queueBound: 10)

    /// - Parameters:
    ///   - starts: how many constructors run at a time.
    ///   - restarts: how long a replica that died waits before its next start.
    init(starts: Int = 8, restarts: RestartPolicy = RestartPolicy()) throws {
        backoff = Backoff(restarts)
        folder = try TemporaryFolder()
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let calls = CallPlane(
            maxInputBytes: 1 << 20, maxMetadataBytes: 8 << 10, chainDepth: 8, queuedBytes: 1 << 20)
        let links = try LinkServer(
            path: "\(folder.path)/link", containerPath: "\(folder.path)/link.docker", maxBodyBytes: 1 << 20,
            invoker: calls.invoker, logger: logger)
        let (logs, tasks, changes) = (try LogPump(), TaskPool(), Changes())
        let queue = StartQueue(limit: starts)
        let containment = Containment(launcher: "/none", logger: logger)
        let replicas = FakeReplicas(socket: links.path, changes: changes, steps: Steps())
        replicas.begin(.waits)
        self.replicas = replicas
        self.logs = logs
        context = SupervisionContext(
            links: links, limits: Limits(), variables: [:], logger: logger, changes: changes, tasks: tasks,
            starts: queue,
            templates: try TemplatePool(
                launcher: "/none", containment: containment, logs: logs, tasks: tasks, starts: queue, logger: logger),
            gpus: GPULeases(), inventory: GPUInventory(variables: [:], launcher: "/none", logger: logger),
            place: { request in FakePlacement { replicas.make(request) } })
        log = FunctionLog(folder: folder.path + "/log")
        route = Self.makeRoute(calls.routing.busy)
    }

    private static func makeRoute(_ busy: BusyRoutes) -> FunctionRoute {
        FunctionRoute(
            name: "f", settings: settings, context: RouteContext(queuedBytes: QueuedBytes(limit: 1 << 20), busy: busy))
    }

    /// A route of another function.
    func anotherRoute() -> FunctionRoute { Self.makeRoute(BusyRoutes()) }

    /// - Parameter isActive: whether replicas that die are started again.
    func set(isActive: Bool = true, of other: FunctionRoute? = nil) throws -> ReplicaSet {
        let record = VersionRecord(
            name: "f", version: 1, config: "{}", bundle: "", replicas: ReplicaRange(min: 1, max: 1), createdAt: 0)
        let python = PythonEnvironment(python: "/p", version: PythonVersion(3, 12), key: nil, wasBuilt: false)
        let plan = FunctionPlan(
            record: record, config: try FunctionConfig.parse(yaml: "{}", name: try FunctionName("f")),
            source: .process(ProcessSource(folder: "/f", python: python)),
            route: RouteSettings(callTimeout: Self.callTimeout, queueBound: 10),
            startTimeout: .seconds(600))
        return ReplicaSet(
            plan: plan, context: context, log: log, route: other ?? route, isActive: isActive, backoff: backoff)
    }

    /// Runs `body` while the links and the pool of tasks run.
    func run(_ body: @Sendable () async throws -> Void) async throws {
        context.links.start()
        try await context.tasks.serving(body)
        context.templates.stop()
        context.links.stop()
        logs.stop()
        log.close()
    }

    /// Waits until the states of the set's replicas meet the condition.
    func wait(_ set: ReplicaSet, _ condition: ([ReplicaState]) -> Bool) async {
        while true {
            let change = context.changes.upcoming
            if condition(set.shown) { return }
            _ = await change.value()
        }
    }
}
