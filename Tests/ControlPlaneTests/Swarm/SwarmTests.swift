import Calls
@testable import ControlPlane
import Engine
import FunctionConfig
import Link
import Logging
import Platform
import Synchronization
import TestSupport
import Testing

/// Services of a fake Swarm.
@Suite struct SwarmTests {
    private static let id = String(repeating: "a", count: 32)
    private static let service = "dcf-f-v3-aaaaaaaa"

    let work: TemporaryFolder
    let engine = FakeSwarmEngine()
    let tasks = TaskPool()
    let log: FunctionLog
    let links: LinkServer

    init() throws {
        work = try TemporaryFolder()
        log = FunctionLog(folder: work.path + "/log")
        let calls = CallPlane(
            maxInputBytes: 1 << 20, maxMetadataBytes: 8 << 10, chainDepth: 2, queuedBytes: 1 << 20)
        links = try LinkServer(
            path: "\(work.path)/link", containerPath: "\(work.path)/link.docker", maxBodyBytes: 1 << 20,
            invoker: calls.invoker, logger: Self.logger)
    }

    private static var logger: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }

    private func host(allowsPlaintextOverlay: Bool = false) throws -> SwarmHost {
        try SwarmHost(
            id: Self.id, place: "node1:32222",
            configuration: SwarmConfiguration(
                address: HostAddress(host: "127.0.0.1", port: 0), advertised: [HostAddress(host: "10.0.0.9", port: 7)],
                allowsPlaintextOverlay: allowsPlaintextOverlay
            ) { [engine] () throws(EngineError) in engine },
            links: links, folders: ContainerFolders(dataFolder: work.path, link: work.path), tasks: tasks,
            logger: Self.logger)
    }

    private func plan(_ yaml: String = "{}", constraints: [String] = []) throws -> (FunctionPlan, ImageSource) {
        let config = try FunctionConfig.parse(yaml: yaml, name: try FunctionName("f"))
        let source = ImageSource(id: "sha256:1", name: "r/f", reference: "r/f@sha256:2", architecture: "amd64")
        let record = VersionRecord(
            name: "f", version: 3, kind: .image, image: "r/f", secrets: config.secrets,
            constraints: config.constraints + constraints, config: yaml, bundle: "",
            replicas: ReplicaRange(min: 1, max: 1), createdAt: 0)
        let plan = FunctionPlan(
            record: record, config: config, source: .service(source),
            route: RouteSettings(callTimeout: .seconds(60), queueBound: 10),
            startTimeout: .seconds(600))
        return (plan, source)
    }

    @Test func aServiceIsWhatTheConfigSays() async throws {
        let host = try host()
        try await host.prepare()
        let (plan, source) = try plan(
            "limits: {memory: 64M, cpu: 1.5, gpu: 2}\nenvironment: [A=1]\nconstraints: [node.role==worker]\n",
            constraints: ["node.id!=x"])
        let spec = try host.spec(plan, source)
        #expect(spec.name == Self.service)
        #expect(spec.labels["io.dcf.gateway"] == Self.id)
        #expect(spec.container.image == "r/f@sha256:2")
        #expect(spec.container.user == "65534:65534")
        #expect(spec.container.capabilities == [])
        #expect(spec.container.environment["DCF_LINK"] == "tcp:10.0.0.9:7")
        #expect(spec.container.environment["DCF_TASK"] == "{{.Task.ID}}")
        #expect(spec.container.environment["DCF_NO_NEW_PRIVS"] == "1")
        #expect(spec.container.environment["DCF_TOKEN"] == nil)
        #expect(spec.container.environment["A"] == "1")
        #expect(spec.constraints == ["node.role==worker", "node.id!=x"])
        #expect(spec.gpus == 2)
        #expect(spec.network == "dcf")
        #expect(plan.gpus == nil)
        #expect(engine.calls == ["overlay dcf encrypted"])
        let (other, image) = try self.plan("container: {network: host}")
        #expect(throws: EngineError.self) { try host.spec(other, image) }
    }

    @Test func whatIsNoManagerIsSaid() async throws {
        engine.state.withLock { $0.info.isManager = false }
        await #expect { try await host().prepare() } throws: { "\($0)".contains("only managers") }
        engine.state.withLock { $0.info.isInSwarm = false }
        await #expect { try await host().prepare() } throws: { "\($0)".contains("docker swarm init") }
    }

    @Test func anOverlayThatIsNotEncryptedIsRefusedUnlessMeant() async throws {
        engine.state.withLock {
            $0.network = SwarmNetwork(id: "o", driver: "overlay", isEncrypted: false, isAttachable: true)
        }
        await #expect { try await host().prepare() } throws: { "\($0)".contains("--overlay-plaintext") }
        try await host(allowsPlaintextOverlay: true).prepare()
        engine.state.withLock { $0.network?.driver = "bridge" }
        await #expect { try await host().prepare() } throws: { "\($0)".contains("not an overlay") }
    }

    @Test func onlyItsOwnServicesAreRemovedAtTheStart() async throws {
        engine.state.withLock {
            $0.others = [
                SwarmServiceState(id: "old", name: "x", labels: ["io.dcf.gateway": Self.id], index: 1),
                SwarmServiceState(id: "other", name: "y", labels: ["io.dcf.gateway": "b"], index: 1),
            ]
        }
        try await host().prepare()
        #expect(engine.calls == ["overlay dcf encrypted", "remove old"])
    }

    @Test func aServiceIsAsLargeAsThereAreSlots() async throws {
        let host = try host()
        let (plan, source) = try plan()
        try await tasks.serving {
            let first = await host.slot(plan, source, replica: 1, log: log)
            await engine.waitForCalls(1)
            let second = await host.slot(plan, source, replica: 2, log: log)
            await engine.waitForCalls(2)
            #expect(first.service === second.service)
            await second.release()
            await engine.waitForCalls(3)
            await first.release()
            await host.finish()
        }
        #expect(
            engine.calls == [
                "create \(Self.service) 1", "scale \(Self.service) 2", "scale \(Self.service) 1",
                "remove \(Self.service)",
            ])
        #expect(engine.state.withLock { $0.secrets.isEmpty })
    }

    @Test(.timeLimit(.minutes(10))) func slotsTakenAtOnceAllCount() async throws {
        let host = try host()
        let (plan, source) = try plan()
        try await tasks.serving {
            for _ in 0..<100 {
                let slots = await withTaskGroup(of: TaskSlot.self) { group in
                    for replica in 1...4 {
                        group.addTask { [log] in await host.slot(plan, source, replica: replica, log: log) }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                await waitUntil { engine.size(of: Self.service) == 4 }
                for slot in slots { await slot.release() }
            }
            await host.finish()
        }
    }

    @Test func whatTheEngineSaysIsTheReason() async throws {
        engine.state.withLock { $0.createFailure = EngineError(.failed, "rpc error: bad constraint") }
        let host = try host()
        let (plan, source) = try plan()
        try await tasks.serving {
            let slot = await host.slot(plan, source, replica: 1, log: log)
            await #expect {
                try await SwarmTaskBackend(slot).run { _ in }
            } throws: { "\($0)".contains("bad constraint") }
            await slot.release()
            await host.finish()
        }
        #expect(engine.state.withLock { $0.secrets.isEmpty })
    }

    @Test func aTaskThatNeverDialsIsTold() async throws {
        let host = try host()
        let (plan, source) = try plan()
        try await tasks.serving {
            let slot = await host.slot(plan, source, replica: 1, log: log)
            let backend = SwarmTaskBackend(slot)
            await engine.waitForCalls(1)
            let end = Task {
                do throws(ConstructorFailure) {
                    _ = try await backend.run { _ in }
                    return ""
                } catch { return error.summary }
            }
            await waitUntil { slot.service.hasWaiting }
            slot.service.look([
                SwarmTask(
                    id: "t", service: "another", node: "n", state: "rejected", wanted: "shutdown", message: "no"),
                SwarmTask(
                    id: "u", service: Self.service, node: "n", state: "rejected", wanted: "shutdown",
                    message: "No such image: r/f"),
            ])
            #expect(await end.value.contains("it cannot get the image r/f@sha256:2: it is not in the registry"))
            await slot.release()
        }
    }

    @Test(
        arguments: [
            ("failed", "task: non-zero exit (3)", nil, "exit status 3"),
            ("failed", "task: non-zero exit (139)", nil, "signal 11 (SIGSEGV)"),
            (
                "failed", "task: non-zero exit (137)", 64 << 20,
                "killed, maybe by the memory limit: limits.memory is 64 MiB"
            ),
            ("failed", "task: non-zero exit (137)", nil, "killed, maybe because its node had no memory left"),
            ("complete", "", nil, "exit status 0"), ("orphaned", "", nil, "orphaned"),
        ] as [(String, String, UInt64?, String)])
    func theEndOfATaskIsSaid(state: String, message: String, memory: UInt64?, text: String) {
        let task = SwarmTask(id: "t", service: "s", node: "n", state: state, wanted: "shutdown", message: message)
        #expect("\(TaskEnd.exit(task, memory: memory))" == text)
    }
}
