import Calls
@testable import ControlPlane
import Engine
@testable import Environments
import Foundation
import FunctionConfig
import GatewayProtocol
import Link
import Logging
import Platform
import Synchronization
import TestSupport
import Testing

/// A control plane with fake replicas: the registry, its files, the routes and the supervision are real.
final class ControlPlaneTest: Sendable {
    /// The same for every gateway that starts over the same data folder.
    static let gatewayID = String(repeating: "a", count: 32)

    /// Holds the data folder, which is the gateway's alone.
    let folder: TemporaryFolder
    /// Holds the interpreter, which outlives the gateway.
    let tools: TemporaryFolder
    let engine: FakeContainerEngine
    let registry: FunctionRegistry
    let changes = Changes()
    let replicas: FakeReplicas
    let plane: CallPlane
    let outcomes = CallOutcomes()
    let steps: Steps
    private let front: TestFront
    private let store: FunctionStore
    private let uploads: UploadService
    private let bundles: BundleStore
    private let environments: EnvironmentCache
    private let containers: ContainerHost
    private let links: LinkServer
    private let pump: LogPump
    private let templates: TemplatePool
    private let logs: LogFolder
    private let tasks = TaskPool()
    private let lastCall = Atomic<Int>(0)
    private let isEnded = Atomic<Bool>(false)

    /// - Parameters:
    ///   - image: the data folder that a gateway before this one has left; nil begins with an empty one.
    ///   - restarts: by default a replica that dies again and again is started again almost at once.
    ///   - change: changes the gateway's limits.
    init(
        over image: DataImage? = nil, restarts: RestartPolicy = ControlPlaneTest.quickRestarts,
        engine: FakeContainerEngine = FakeContainerEngine(), _ change: (inout Limits) -> Void = { _ in }
    ) throws {
        folder = try image?.folder ?? TemporaryFolder(inMemory: true)
        tools = try image?.tools ?? Self.makeTools()
        self.engine = engine
        let path = folder.path
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        var limits = Limits()
        change(&limits)
        plane = CallPlane(
            maxInputBytes: 1 << 20, maxMetadataBytes: 8 << 10, chainDepth: 8, queuedBytes: 1 << 20,
            observers: [outcomes])
        front = TestFront(plane)
        try Folder.make("\(path)/run")
        links = try LinkServer(
            path: "\(path)/run/link", containerPath: "\(path)/run/containers", maxBodyBytes: 1 << 20,
            invoker: plane.invoker, logger: logger)
        pump = try LogPump()
        let starts = StartQueue(limit: 8)
        templates = try TemplatePool(
            launcher: "/none", containment: Containment(launcher: "/none", logger: logger), logs: pump, tasks: tasks,
            starts: starts, logger: logger)
        let steps = Steps()
        self.steps = steps
        let replicas = FakeReplicas(socket: links.path, changes: changes, steps: steps)
        self.replicas = replicas
        let context = SupervisionContext(
            links: links, limits: limits, variables: [:], logger: logger, changes: changes, tasks: tasks,
            starts: starts, templates: templates, gpus: GPULeases(),
            inventory: GPUInventory(variables: [:], launcher: "/none", logger: logger),
            place: { request in FakePlacement { replicas.make(request) } }, restarts: restarts)
        let reserve = DataReserve(folder: path)
        store = try FunctionStore(path: "\(path)/registry.sqlite") { steps.reach("commit") }
        bundles = try BundleStore(dataFolder: path)
        uploads = UploadService(bundles: bundles, store: store)
        let variables = ["PATH": "/usr/bin:/bin"]
        environments = EnvironmentCache(root: "\(path)/environments", launcher: nil, variables: variables)
        logs = LogFolder(path: "\(path)/logs", limits: limits)
        containers = ContainerHost(
            id: Self.gatewayID, folders: ContainerFolders(dataFolder: path, link: "\(path)/run/docker"), tasks: tasks,
            logger: logger, retry: .milliseconds(1)
        ) { () throws(EngineError) in engine }
        let python = "\(tools.path)/python"
        if image == nil { try Self.keepAnswers(of: python, in: "\(path)/environments") }
        registry = FunctionRegistry(
            store: store, records: RecordFolder(path: "\(path)/records"), reserve: reserve, bundles: bundles,
            planner: FunctionPlanner(
                bundles: bundles,
                interpreters: InterpreterFinder(
                    cacheFolder: "\(path)/environments", launcher: nil, variables: variables),
                environments: environments, defaultPython: python, containers: containers, swarm: nil,
                defaultKind: .process, limits: limits),
            routes: plane.routes, routing: plane.routing, logs: logs, context: context, containers: containers,
            swarm: nil)
    }

    /// Pauses that no test waits for.
    static var quickRestarts: RestartPolicy { restarts(after: .milliseconds(1)) }

    /// A replica that dies a second time is started again after this pause.
    static func restarts(after pause: Duration) -> RestartPolicy {
        var limits = RestartPolicy.Limits()
        (limits.firstDelay, limits.delayMax, limits.elsewhereDelayMax, limits.jitter) = (pause, pause, pause, 0)
        return RestartPolicy(limits: limits)
    }

    /// An interpreter whose venv module makes a folder, and whose pip says one line.
    private static func makeTools() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try folder.write(
            "python",
            """
            #!/bin/sh
            for last; do :; done
            case "$*" in
            *"-m venv"*) mkdir -p "$last/bin" && touch "$last/bin/python" ;;
            *"-m pip"*) echo "Collecting six" ;;
            esac
            """, mode: 0o755)
        return folder
    }

    /// The interpreter need not be run to learn what it is.
    private static func keepAnswers(of python: String, in folder: String) throws {
        let interpreter = Interpreter(
            path: python, realPath: python, version: PythonVersion(3, 12, 1), isVenv: false, prefix: "/none",
            hasEnsurepip: true, pip: PythonVersion(24, 0))
        let identity = try #require(InterpreterAnswers.identity(of: python))
        InterpreterAnswers(file: "\(folder)/interpreters").keep(interpreter, as: identity)
    }

    // MARK: Its life

    /// Runs `body` while the control plane runs, which then ends in good order, and all that it still had to do is done.
    func run(_ body: @Sendable () async throws -> Void) async throws {
        links.start()
        plane.sweeper.start()
        let result: Result<Void, any Error>
        do {
            try await tasks.serving { [self] in
                let result: Result<Void, any Error>
                do { result = .success(try await body()) } catch { result = .failure(error) }
                await registry.beginDrain()
                await registry.stopAll(within: .milliseconds(100))
                await containers.finish()
                await registry.writeCallCounts()
                try result.get()
            }
            result = .success(())
        } catch { result = .failure(error) }
        plane.sweeper.stop()
        templates.stop()
        links.stop()
        pump.stop()
        await logs.writers.written()
        try store.close()
        isEnded.store(true, ordering: .releasing)
        try result.get()
    }

    /// What a gateway does when it starts.
    func restore() async throws {
        let stored = try store.all()
        try environments.removeUnfinished()
        await registry.restore(stored)
    }

    /// Waits until the condition is true: it is looked at after each change of a function.
    func until(_ condition: () async -> Bool) async {
        while true {
            let change = changes.upcoming
            if await condition() { return }
            _ = await change.value()
        }
    }

    // MARK: What its users do

    /// Uploads a bundle, and says how it is deployed.
    ///
    /// - Parameters:
    ///   - handler: the content of `handler.py`: other content is another bundle.
    ///   - requirements: of `requirements.txt`.
    func request(
        _ name: String = "f", handler: String = "one", config: String = "{}", requirements: String? = nil,
        _ ifExists: DeployRequest.IfExists = .update
    ) async throws -> DeployRequest {
        var files = ["handler.py": handler]
        if let requirements { files["requirements.txt"] = requirements }
        return Self.request(name, config: config, bundle: try await upload(files), ifExists)
    }

    static func request(
        _ name: String, image: String = "", config: String, bundle: String = "", _ ifExists: DeployRequest.IfExists
    ) -> DeployRequest {
        DeployRequest(
            name: name, kind: nil, image: image, registryAuthorization: "", secrets: [], config: config,
            bundle: bundle, environment: [:], labels: [:], annotations: [:], ifExists: ifExists, mustExist: false)
    }

    private func upload(_ files: [String: String]) async throws -> String {
        var bytes: [UInt8] = []
        for (path, content) in files.sorted(by: { $0.key < $1.key }) {
            bytes += Bundle.entry(path: path, content: Array(content.utf8))
        }
        bytes += TarWriter.end
        var digest = Digest()
        digest.add(bytes)
        var piece = Pb_UploadPiece()
        (piece.sha256, piece.size, piece.data) = (digest.hexadecimal(), UInt64(bytes.count), Data(bytes))
        _ = try await uploads.upload(piece) { () throws(Never) in nil }
        return piece.sha256
    }

    @discardableResult
    func deploy(
        _ request: DeployRequest, _ progress: @escaping @Sendable (DeployEvent) -> Void = { _ in }
    ) async throws(CallFailure) -> DeployedFunction {
        let steps = steps
        return try await telling { () throws(FunctionError) in
            try await registry.deploy(request) { event in
                if case .step(let text) = event { steps.reach(text) }
                if case .output(let line) = event { steps.reach(line) }
                progress(event)
            }
        }
    }

    func delete(_ name: String = "f") async throws(CallFailure) {
        try await telling { () throws(FunctionError) in try await registry.delete(name) }
    }

    /// What a caller of `work` is told when it fails.
    func failure(_ work: () async throws -> Void) async throws -> CallFailure {
        do { try await work() } catch {
            switch error {
            case let error as CallFailure: return error
            case let error as FunctionError: return error.failure
            default: throw error
            }
        }
        throw CallFailure(.internal, executed: .no, "it did not fail")
    }

    func function(_ name: String = "f") async throws -> DeployedFunction {
        try await registry.function(named: name)
    }

    func call(_ function: String = "f", _ input: String) -> TestCall {
        front.call(function, Array(input.utf8).withUnsafeBytes { InvocationInput(copying: $0) })
    }

    /// The reply of a call; throws what its caller is told.
    @discardableResult
    func reply(to call: TestCall) async throws -> String {
        String(decoding: try #require(await call.answer.value()).get(), as: UTF8.self)
    }

    /// Calls the function, and says which version answers.
    func answeringVersion(of function: String = "f") async throws -> Int {
        let word = "who \(lastCall.add(1, ordering: .relaxed).newValue)"
        #expect(try await reply(to: call(function, "echo \(word)")) == word)
        return try #require(replicas.all.first { $0.has("echo \(word)") }).version
    }

    // MARK: What it keeps

    /// The registry as it is on the disk, also once the control plane has ended.
    private func atDisk<Result>(_ look: (FunctionStore) throws -> Result) throws -> Result {
        if !isEnded.load(ordering: .acquiring) { return try look(store) }
        let store = try FunctionStore(path: "\(folder.path)/registry.sqlite")
        let result = try look(store)
        try store.close()
        return result
    }

    /// The versions that a gateway would find that starts now, each with its share of the calls.
    func kept(_ name: String = "f") throws -> [Int: Int] {
        let found = try atDisk { store in try store.all().first { $0.function.name == name } }
        return Dictionary(uniqueKeysWithValues: (found?.versions ?? []).map { ($0.version, $0.traffic) })
    }

    /// The names of what is kept of functions beside the registry: bundles (how many), folders, records.
    func files() throws -> [String] {
        let path = folder.path
        let folders = try Folder.names(at: "\(path)/functions").flatMap { name in
            try Folder.names(at: "\(path)/functions/\(name)").map { "\(name)/\($0)" }
        }
        let bundles = try Folder.names(at: "\(path)/bundles").count
        return try Folder.names(at: "\(path)/records") + folders
            + (bundles == 0 ? [] : ["\(bundles) bundle\(bundles == 1 ? "" : "s")"])
            + Folder.names(at: "\(path)/uploads")
    }

    /// Rows, records and files say the same, and nothing is marked to be removed.
    func expectAgreement(_ comment: Comment? = nil, _ location: SourceLocation = #_sourceLocation) throws {
        let (all, removals) = try atDisk { (try $0.all(), try $0.removals()) }
        #expect(removals == [], comment, sourceLocation: location)
        let records = try RecordFolder(path: "\(folder.path)/records").all()
        #expect(records.map(\.name) == all.map(\.function.name), comment, sourceLocation: location)
        for (record, stored) in zip(records, all) {
            #expect(!stored.hasProblem, comment, sourceLocation: location)
            #expect(try record.record.get().versions == stored.versions, comment, sourceLocation: location)
        }
        let versions = all.flatMap(\.versions)
        #expect(
            versions.allSatisfy { $0.kind == .image || bundles.contains($0.bundle) }, comment,
            sourceLocation: location)
        let unknown = try bundles.unknown(
            besides: Set(versions.map(\.bundle)),
            versions: Dictionary(uniqueKeysWithValues: all.map { ($0.function.name, Set($0.versions.map(\.version))) }))
        #expect(unknown == [], comment, sourceLocation: location)
        #expect(try Folder.names(at: "\(folder.path)/uploads") == [], comment, sourceLocation: location)
    }
}
