import Calls
@testable import ControlPlane
import Engine
import FunctionConfig
import Glibc
import Link
import Logging
import Platform
import Synchronization
import TestSupport
import Testing

/// Images and containers on a fake engine.
@Suite struct ContainerTests {
    private static let id = String(repeating: "a", count: 32)

    let work: TemporaryFolder
    let engine = FakeContainerEngine()
    let tasks = TaskPool()
    let pump: LogPump
    let log: FunctionLog

    init() throws {
        work = try TemporaryFolder()
        pump = try LogPump()
        log = FunctionLog(folder: work.path + "/log")
    }

    private func image(_ id: String, _ architecture: String, _ os: String, user: String = "") -> EngineImage {
        EngineImage(
            id: id, architecture: architecture, os: os, user: user, environment: [], labels: [:], digests: [], size: 1)
    }

    private func host() -> ContainerHost {
        ContainerHost(
            id: Self.id, folders: ContainerFolders(dataFolder: work.path, link: work.path + "/run/docker"),
            tasks: tasks,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { [engine] () throws(EngineError) in engine }
    }

    private func plan(_ yaml: String, user: String = "", secrets: [String] = []) throws -> (FunctionPlan, ImageSource) {
        let config = try FunctionConfig.parse(yaml: yaml, name: try FunctionName("f"))
        let source = ImageSource(id: "sha256:1", name: "me/f", user: user)
        let record = VersionRecord(
            name: "f", version: 3, kind: .image, image: "me/f", secrets: secrets, config: yaml, bundle: "",
            replicas: ReplicaRange(min: 1, max: 1), createdAt: 0)
        let plan = FunctionPlan(
            record: record, config: config, source: .image(source),
            route: RouteSettings(callTimeout: .seconds(60), queueBound: 10),
            startTimeout: .seconds(600))
        return (plan, source)
    }

    /// Runs `work` while the pool runs, and returns when all tasks of the pool are done.
    private func pooled<Result: Sendable>(_ work: @Sendable () async throws -> Result) async throws -> Result {
        defer { pump.stop() }
        return try await tasks.serving(work)
    }

    private func backend(_ plan: FunctionPlan, _ source: ImageSource, _ host: ContainerHost) -> ContainerBackend {
        ContainerBackend(plan: plan, source: source, number: 2, devices: [], host: host, logs: pump, log: log)
    }

    @Test func containersAreHardenedUnlessTheConfigSaysOtherwise() throws {
        let (usual, source) = try plan("limits: {memory: 64M, cpu: 1.5}\nenvironment: [A=1]\n")
        let spec = try host().spec(usual, source, replica: 2, devices: [], token: LinkToken())
        #expect(spec.user == "65534:65534")
        #expect(spec.hasReadOnlyRoot)
        #expect(spec.capabilities == [])
        #expect(!spec.mayGainPrivileges)
        #expect(spec.processesMax == 1_024)
        #expect(spec.memory == 64 << 20)
        #expect(spec.cpus == 1.5)
        #expect(spec.environment["OMP_NUM_THREADS"] == "2")
        #expect(spec.environment["A"] == "1")
        #expect(spec.environment["DCF_LINK"] == "unix:/dcf/link/link.sock")
        #expect(spec.environment["HANDLER_FILE"] == nil)
        #expect(spec.mounts == [.init(source: work.path + "/run/docker", target: "/dcf/link", isReadOnly: true)])
        #expect(spec.labels["io.dcf.gateway"] == Self.id)
        #expect(spec.name?.hasPrefix("dcf-f-3-2-") == true)

        let (open, image) = try plan(
            "container: {user: root, read_only: false, capabilities: [NET_ADMIN], new_privileges: true, pids: 64, network: host}",
            user: "1000")
        let other = try host().spec(open, image, replica: 1, devices: [], token: LinkToken())
        #expect(other.user == "root")
        #expect(!other.hasReadOnlyRoot)
        #expect(other.capabilities == ["NET_ADMIN"])
        #expect(other.mayGainPrivileges)
        #expect(other.processesMax == 64)
        #expect(other.network == "host")
    }

    @Test(arguments: [
        ("", "65534:65534"), ("root", "65534:65534"), ("0:0", "65534:65534"), ("1000:50", "1000:50"), ("app", "app"),
    ])
    func anImageCannotMakeItselfRoot(user: String, runsAs: String) throws {
        let (plan, source) = try plan("{}", user: user)
        #expect(try host().spec(plan, source, replica: 1, devices: [], token: LinkToken()).user == runsAs)
    }

    @Test func secretsAreFilesThatGoWithTheContainer() async throws {
        try work.write("secrets/key", "sesame", mode: 0o600)
        let (plan, source) = try plan("secrets: [key]", secrets: ["key"])
        let host = host()
        try await pooled {
            let spec = try host.spec(plan, source, replica: 1, devices: [], token: LinkToken())
            let copy = "run/secrets/\(spec.name ?? "")"
            #expect(spec.mounts.last == .init(source: "\(work.path)/\(copy)", target: "/run/secrets", isReadOnly: true))
            #expect(try work.read("\(copy)/key") == "sesame")
            host.discard(spec.name ?? "", id: nil)
            await host.finish()
        }
        #expect(try work.tree("run/secrets").isEmpty)
        let (other, image) = try self.plan("{}", secrets: ["none"])
        #expect(throws: EngineError.noSecret("none", folder: work.path + "/secrets")) {
            try host.spec(other, image, replica: 1, devices: [], token: LinkToken())
        }
    }

    @Test func anImageIsGotWhereTheEngineDoesNotHaveIt() async throws {
        let image = self.image("sha256:2", "amd64", "linux", user: "7")
        engine.state.withLock { $0.remote = ["r/f": image] }
        let source = try await host().images.resolve("r/f", credentials: RegistryCredentials(header: "abc")) { _ in }
        #expect(
            source
                == ImageSource(
                    id: "sha256:2", name: "r/f", reference: "sha256:2", architecture: "amd64", user: "7"))
        #expect(engine.calls == ["pull r/f credentials"])
    }

    @Test func whatCannotRunHereIsSaid() async throws {
        engine.state.withLock {
            $0.images = [
                "arm": image("1", "arm64", "linux"),
                "win": image("2", "amd64", "windows"),
            ]
        }
        for (name, words) in [
            ("arm", "is for arm64, and this machine is amd64"), ("win", "is for windows"),
            ("none", "has no image"),
        ] {
            await #expect {
                _ = try await host().images.resolve(name, credentials: nil) { _ in }
            } throws: { "\($0)".contains(words) }
        }
    }

    @Test func aReplicaIsTakenAwayWhenItHasEnded() async throws {
        let (plan, source) = try plan("{}")
        engine.state.withLock {
            $0.end = ContainerExit(status: 1, isOutOfMemory: false)
            $0.output = [
                (.standardOutput, "hello\n"), (.standardError, "first\nthis base "),
                (.standardError, "has no Python\n"),
            ]
        }
        let host = host()
        let exit = try await pooled {
            try await backend(plan, source, host).run { #expect($0 == 4_711) }
        }
        #expect(exit == .container(1, lastLine: "this base has no Python"))
        #expect(exit.beforeReady.hasSuffix("exit status 1: this base has no Python"))
        #expect(engine.calls == ["create", "start 1", "remove 1"])
    }

    @Test func theMemoryLimitIsNamed() async throws {
        let (plan, source) = try plan("limits: {memory: 64M}")
        engine.state.withLock { $0.end = ContainerExit(status: 137, isOutOfMemory: true) }
        let host = host()
        let exit = try await pooled { try await backend(plan, source, host).run { _ in } }
        #expect("\(exit)" == "killed by the memory limit: limits.memory is 64 MiB")
    }

    @Test func aKillBeforeTheStartIsAKill() async throws {
        let (plan, source) = try plan("{}")
        let host = host()
        let backend = self.backend(plan, source, host)
        backend.kill()
        await #expect(throws: ConstructorFailure.self) {
            try await pooled { try await backend.run { _ in } }
        }
        #expect(engine.calls == ["create", "remove 1"])
    }

    @Test func aKillEndsIt() async throws {
        let (plan, source) = try plan("{}")
        engine.state.withLock {
            $0.runsOn = true
            $0.end = ContainerExit(status: 137, isOutOfMemory: false)
        }
        let host = host()
        let backend = self.backend(plan, source, host)
        let exit = try await pooled { try await backend.run { _ in backend.kill() } }
        #expect(exit == .signal(9))
    }

    /// The engine's own trouble is not a function's fault.
    @Test(arguments: [EngineError.Kind.conflict, .failed, .unreachable, .broken, .diskFull])
    func whatTheEngineSaysIsTheReason(kind: EngineError.Kind) async throws {
        let (plan, source) = try plan("{}")
        let error = EngineError(kind, "it does not want to")
        engine.state.withLock { $0.createFailure = error }
        let host = host()
        let failure = ConstructorFailure(
            summary: "it does not want to", traceback: "", isElsewhere: error.isEngines)
        await #expect(throws: failure) {
            try await pooled { try await backend(plan, source, host).run { _ in } }
        }
        // The engine may have made the container nevertheless; only its name is known.
        #expect(engine.calls.count { $0.hasPrefix("remove dcf-f-3-2-") } == (kind == .unreachable ? 0 : 1))
    }

    @Test func onlyItsOwnOfEarlierLivesAreRemoved() async throws {
        func container(_ id: String, _ labels: [String: String]) -> EngineContainer {
            EngineContainer(id: id, name: id, image: "", labels: labels, isRunning: true)
        }
        let (plan, source) = try plan("{}")
        let host = host()
        let own = try host.spec(plan, source, replica: 1, devices: [], token: LinkToken())
        engine.state.withLock {
            $0.others = [
                container("old", ["io.dcf.gateway": Self.id, "io.dcf.run": "before"]),
                container("mine", own.labels), container("task", ["io.dcf.gateway": Self.id]),
                container("other", ["io.dcf.gateway": "b"]), container("none", [:]),
            ]
        }
        await host.removeOrphans(after: .zero)
        #expect(engine.calls == ["remove old"])
    }
}
