@testable import Engine
import Synchronization
import Testing

/// With each release of Docker from 20.10 on, the engine speaks a version of the API that the release knows.
@Suite struct APIVersionTests {
    static let docker20 = FakeEngine.Release(name: "20.10.24", api: "1.41", apiMin: "1.12")
    static let docker24 = FakeEngine.Release(name: "24.0.9", api: "1.43", apiMin: "1.12")
    static let docker28 = FakeEngine.Release(name: "28.0.4", api: "1.48", apiMin: "1.24")
    static let docker29 = FakeEngine.Release(name: "29.0.1", api: "1.52", apiMin: "1.44")
    static let later = FakeEngine.Release(name: "31.1.0", api: "1.60", apiMin: "1.50")
    static let podman = FakeEngine.Release(name: "4.3.1", api: "1.41", apiMin: "1.24")

    /// Runs `work` with a fake engine and its client.
    private func withEngine(
        _ release: FakeEngine.Release, _ work: (FakeEngine, Engine) async throws -> Void
    ) async throws {
        let fake = try await FakeEngine(release)
        let engine = Engine(EngineEndpoint(path: fake.path))
        let result: Result<Void, any Error>
        do { result = .success(try await work(fake, engine)) } catch { result = .failure(error) }
        await engine.shutdown()
        try await fake.end()
        try result.get()
    }

    @Test(
        arguments: [
            ("1.41", "1.12", "1.41"), ("1.43", "1.24", "1.43"), ("1.52", "1.44", "1.52"), ("1.60", "1.44", "1.52"),
            ("1.41", nil, "1.41"), ("1.40", "1.12", nil), ("1.70", "1.53", nil), ("1.52", "1.52", "1.52"),
        ] as [(String, String?, String?)])
    func picksTheNewestCommonVersion(newest: String, oldest: String?, common: String?) throws {
        let found = APIVersion.common(
            newest: try #require(APIVersion(newest)), oldest: oldest.flatMap { APIVersion($0) })
        #expect(found.map { "\($0)" } == common)
    }

    @Test(arguments: ["", "1", "1.", "1.x", "1.2.3", "-1.2"])
    func refusesOtherTexts(text: String) {
        #expect(APIVersion(text) == nil)
    }

    @Test(arguments: [
        (docker20, "1.41"), (docker24, "1.43"), (docker28, "1.48"), (docker29, "1.52"), (later, "1.52"),
        (podman, "1.41"),
    ])
    func everyReleaseIsUnderstood(release: FakeEngine.Release, version: String) async throws {
        try await withEngine(release) { fake, engine in
            #expect(try await engine.info().architecture == "amd64")
            #expect(try await engine.createContainer(ContainerSpec(image: "f")) == "abc")
            #expect(
                try await engine.state(of: "abc")
                    == ContainerState(isRunning: false, exit: ContainerExit(status: 3, isOutOfMemory: false)))
            #expect(
                try await engine.mounts(of: "abc")
                    == [ContainerMount(source: "/var/lib/docker/volumes/dcf/_data", target: "/var/lib/dcf")])
            #expect(try await engine.containers(labels: [:]).map(\.name) == ["one"])
            #expect(try await engine.unnamedImages(labels: ["a": "b"]) == ["sha256:1"])
            let image = try #require(try await engine.image("f"))
            #expect(image.environment == [] && image.user == "" && image.labels == [:] && image.size == 5)
            let lines = Mutex<[String]>([])
            try await engine.pull(try ImageReference("f")) { event in lines.withLock { $0.append(event.line) } }
            #expect(lines.withLock { $0 }.first?.contains("Downloading") == true)
            #expect(lines.withLock { $0 }.first?.contains("1") == true)
            #expect(fake.asked.first == "GET /version")
            #expect(fake.asked.dropFirst().allSatisfy { $0.contains(" /v\(version)/") })
            #expect(fake.asked.count { $0 == "GET /version" } == 1)
        }
    }

    @Test(arguments: [(docker20, docker29), (docker29, docker20), (docker28, docker24)])
    func anUpdatedEngineIsAskedAgain(before: FakeEngine.Release, after: FakeEngine.Release) async throws {
        try await withEngine(before) { fake, engine in
            _ = try await engine.info()
            fake.update(to: after)
            _ = try await engine.info()
            _ = try await engine.info()
            let version = min(try #require(APIVersion(after.api)), .newest)
            #expect(fake.asked.last == "GET /v\(version)/info")
        }
    }

    @Test func reportsThatNoVersionIsCommon() async throws {
        for (release, words) in [
            (FakeEngine.Release(name: "19.03.15", api: "1.40", apiMin: "1.12"), "update the engine to Docker 20.10"),
            (FakeEngine.Release(name: "40.0.0", api: "1.80", apiMin: "1.70"), "update dcf"),
        ] {
            try await withEngine(release) { fake, engine in
                await #expect {
                    _ = try await engine.info()
                } throws: { error in
                    let error = error as? EngineError
                    let text = "\(error.map { "\($0)" } ?? "")"
                    return error?.kind == .incompatible && error?.isEngines == true && text.contains(words)
                        && text.contains("release \(release.name)") && text.contains("1.41 to 1.52")
                }
            }
        }
    }

    @Test(
        arguments: [
            (
                "failed to update store for object type *libnetwork.endpoint: open : no such file or directory",
                EngineError.Kind.broken
            ),
            ("write /var/lib/docker/x: no space left on device", .diskFull),
            ("dial unix /run/containerd/containerd.sock: connect: connection refused", .broken),
            ("could not select device driver \\\"nvidia\\\" with capabilities: [[gpu]]", .failed),
        ] as [(String, EngineError.Kind)])
    func knowsTheEnginesOwnFaults(words: String, kind: EngineError.Kind) async throws {
        try await withEngine(Self.docker20) { fake, engine in
            fake.fail(words)
            await #expect {
                try await engine.start("abc")
            } throws: { ($0 as? EngineError)?.kind == kind }
            fake.fail(nil)
            try await engine.start("abc")
        }
    }

    /// An engine that saw the request may have acted on it, so this is another error than a missing engine.
    @Test func anEngineThatClosesBeforeItAnswers() async throws {
        try await withEngine(Self.docker28) { fake, engine in
            _ = try await engine.info()
            fake.closeBeforeAnswering()
            await #expect {
                _ = try await engine.createContainer(ContainerSpec(image: "f"))
            } throws: { ($0 as? EngineError)?.kind == .broken }
            #expect(fake.asked.last == "POST /v1.48/containers/create")
        }
    }

    @Test func aMissingEngine() async throws {
        let engine = Engine(EngineEndpoint(path: "/nowhere/d.sock"))
        await #expect {
            try await engine.start("abc")
        } throws: { ($0 as? EngineError)?.kind == .unreachable }
        await engine.shutdown()
    }
}
