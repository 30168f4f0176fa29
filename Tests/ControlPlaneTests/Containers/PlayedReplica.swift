import Calls
@testable import ControlPlane
import Engine
import FunctionConfig
import Logging
import Platform
import TestSupport

/// A replica in a container of a fake engine, with everything that it needs.
struct PlayedReplica {
    static let gateway = String(repeating: "a", count: 32)

    let work: TemporaryFolder
    let engine = FakeContainerEngine()
    let tasks = TaskPool()
    let pump: LogPump
    let log: FunctionLog
    let host: ContainerHost
    private let config: FunctionConfig

    init() throws {
        work = try TemporaryFolder()
        pump = try LogPump()
        config = try FunctionConfig.parse(yaml: "{}", name: try FunctionName("f"))
        log = FunctionLog(folder: work.path + "/log")
        host = ContainerHost(
            id: Self.gateway, folders: ContainerFolders(dataFolder: work.path, link: work.path + "/run/docker"),
            tasks: tasks, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, retry: .milliseconds(1)
        ) { [engine] () throws(EngineError) in engine }
    }

    /// The record of a version with the image `sha256:VERSION`.
    static func record(
        _ name: String = "f", version: Int = 3, image: String = "me/f", config: String = "{}"
    ) -> VersionRecord {
        var record = VersionRecord(
            name: name, version: version, kind: .image, image: image, config: config, bundle: "",
            replicas: ReplicaRange(min: 1, max: 1), createdAt: 0)
        record.imageID = "sha256:\(version)"
        return record
    }

    func backend(_ source: ImageSource = ImageSource(id: "sha256:3", name: "me/f")) -> ContainerBackend {
        let plan = FunctionPlan(
            record: Self.record(), config: config, source: .image(source),
            route: RouteSettings(callTimeout: .seconds(60), queueBound: 10),
            startTimeout: .seconds(600))
        return ContainerBackend(plan: plan, source: source, number: 1, devices: [], host: host, logs: pump, log: log)
    }

    /// Runs `work` while the pool runs, and returns when all tasks of the pool are done.
    func pooled<Result: Sendable>(_ work: @Sendable () async throws -> Result) async throws -> Result {
        defer { pump.stop() }
        return try await tasks.serving(work)
    }
}
