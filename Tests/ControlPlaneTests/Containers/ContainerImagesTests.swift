@testable import ControlPlane
import Engine
import FunctionConfig
import Platform
import Synchronization
import Testing

/// Images that are pruned, kept and removed, on a fake engine.
@Suite struct ContainerImagesTests {
    private static let kept = "dcf.kept/aaaaaaaaaaaa/f"
    private static let digest = "r:5000/me/f@sha256:" + String(repeating: "d", count: 64)

    let played: PlayedReplica

    init() throws {
        played = try PlayedReplica()
    }

    private func image(
        _ version: Int, tags: [String], digests: [String] = [], function: String? = "f"
    ) -> EngineImage {
        let labels = function.map { ["io.dcf.function": $0, "io.dcf.image": "me/f:latest"] } ?? [:]
        return EngineImage(
            id: "sha256:\(version)", architecture: "amd64", os: "linux", user: "", environment: [], labels: labels,
            digests: digests, tags: tags, size: 1)
    }

    private func have(_ images: EngineImage...) {
        played.engine.state.withLock { state in
            state.images = Dictionary(uniqueKeysWithValues: images.map { ($0.id, $0) })
        }
    }

    private var tags: [String: [String]] {
        played.engine.state.withLock { $0.images.mapValues { $0.tags.sorted() } }
    }

    // MARK: Pruned

    @Test func aPrunedImageIsGotAgainByItsDigest() async throws {
        let source = ImageSource(id: "sha256:3", name: "r:5000/me/f", reference: Self.digest)
        played.engine.state.withLock {
            $0.checksImages = true
            $0.remote = [Self.digest: image(3, tags: [], digests: [Self.digest])]
            $0.end = ContainerExit(status: 0, isOutOfMemory: false)
        }
        let exit = try await played.pooled { try await played.backend(source).run { _ in } }
        #expect(exit == .container(0, lastLine: ""))
        #expect(played.engine.calls == ["pull \(Self.digest) -", "create", "start 1", "remove 1"])
    }

    @Test func severalReplicasGetItOnceWithTheCredentialsOfTheDeploy() async throws {
        let name = "r:5000/me/f"
        let source = ImageSource(id: "sha256:3", name: name, reference: Self.digest)
        have(image(3, tags: [name]))
        let images = played.host.images
        _ = try await images.resolve(name, credentials: RegistryCredentials(header: "abc")) { _ in }
        played.engine.state.withLock {
            $0.images = [:]
            $0.remote = [Self.digest: image(4, tags: [], digests: [Self.digest])]
        }
        try await played.pooled {
            try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<8 { group.addTask { try await images.restore(source, of: "f") } }
                for try await id in group { #expect(id == "sha256:4") }
            }
        }
        #expect(played.engine.calls == ["pull \(Self.digest) credentials"])
        // The same image has another id in another image store.
        #expect(images.id(of: source) == "sha256:4")
    }

    @Test func oneThatNoRegistryHasIsSaid() async throws {
        let source = ImageSource(id: "sha256:3", name: "f", reference: "sha256:3")
        await #expect {
            try await played.pooled { _ = try await played.host.images.restore(source, of: "f") }
        } throws: { error in
            let text = "\(error)"
            return (error as? EngineError)?.isEngines == false && text.contains("never sent to a registry")
                && text.contains("dcf function create f --update")
        }
    }

    @Test func aRegistryThatRefusesIsSaidWithTheCommand() async throws {
        let source = ImageSource(id: "sha256:3", name: "r:5000/me/f", reference: Self.digest)
        played.engine.state.withLock {
            $0.checksImages = true
            $0.pullFailure = EngineError(.registry, "no basic auth credentials")
        }
        await #expect {
            _ = try await played.pooled { try await played.backend(source).run { _ in } }
        } throws: { error in
            let failure = error as? ConstructorFailure
            return failure?.isElsewhere == true && failure?.summary.contains("docker pull \(Self.digest)") == true
                && failure?.summary.contains("docker login") == true
        }
    }

    @Test func whatWasNotSentToARegistryIsSaidAtTheDeploy() async throws {
        played.engine.state.withLock { $0.pullFailure = EngineError(.registry, "Get https://x: refused") }
        await #expect {
            _ = try await played.host.images.resolve("ebf", credentials: nil) { _ in }
        } throws: { "\($0)".contains("it was not sent to a registry") && "\($0)".contains("--registry HOST:PORT") }
    }

    // MARK: Kept and removed

    @Test func aKeptVersionsImageHasANameOfItsOwn() async throws {
        have(image(3, tags: ["me/f:latest"]))
        await played.host.images.keep(PlayedReplica.record())
        await played.host.images.keep(PlayedReplica.record())
        #expect(tags == ["sha256:3": ["\(Self.kept):v3", "me/f:latest"]])
    }

    @Test(arguments: [("{}", nil as String?), ("{}", "other"), ("skip_build: true", "f")])
    func whatDcfDidNotBuildIsLeftAlone(config: String, function: String?) async throws {
        have(image(3, tags: ["me/f:latest"], function: function))
        let record = PlayedReplica.record(config: config)
        await played.host.images.keep(record)
        try await played.pooled {
            _ = await played.host.releaseImage(of: record, isLast: true, isUsed: false).value()
        }
        #expect(tags == ["sha256:3": ["me/f:latest"]])
        #expect(played.engine.calls == [])
    }

    @Test func anImageGoesWithItsVersion() async throws {
        have(
            image(2, tags: ["\(Self.kept):v2"], digests: [Self.digest]),
            image(3, tags: ["\(Self.kept):v3", "me/f:latest"]))
        try await played.pooled {
            let record = PlayedReplica.record(version: 2)
            _ = await played.host.releaseImage(of: record, isLast: false, isUsed: false).value()
        }
        #expect(tags == ["sha256:3": ["\(Self.kept):v3", "me/f:latest"]])
    }

    @Test func aDeployThatDidNotWorkLeavesWhatWasBuilt() async throws {
        have(image(3, tags: ["\(Self.kept):v3", "me/f:latest"]))
        try await played.pooled {
            _ = await played.host.releaseImage(of: PlayedReplica.record(), isLast: false, isUsed: false).value()
        }
        #expect(tags == ["sha256:3": ["me/f:latest"]])
    }

    @Test func aFunctionThatIsDeletedTakesAlongWhatTheBuildNamed() async throws {
        have(image(3, tags: ["\(Self.kept):v3", "me/f:latest", "r:5000/me/f:latest"], digests: [Self.digest]))
        try await played.pooled {
            let record = PlayedReplica.record(image: Self.digest)
            _ = await played.host.releaseImage(of: record, isLast: true, isUsed: false).value()
        }
        #expect(tags == [:])
    }

    @Test(arguments: ["mine:1", "dcf.kept/bbbbbbbbbbbb/f:v1"])
    func whatOthersHaveNamedStays(name: String) async throws {
        have(image(3, tags: ["\(Self.kept):v3", "me/f:latest", name]))
        try await played.pooled {
            _ = await played.host.releaseImage(of: PlayedReplica.record(), isLast: true, isUsed: false).value()
        }
        #expect(tags == ["sha256:3": [name]])
    }

    @Test func anImageThatAnotherVersionNeedsStays() async throws {
        have(image(3, tags: ["\(Self.kept):v3"]))
        try await played.pooled {
            _ = await played.host.releaseImage(of: PlayedReplica.record(), isLast: true, isUsed: true).value()
        }
        #expect(tags == ["sha256:3": ["\(Self.kept):v3"]])
    }

    @Test func theStartPutsInOrderWhatChangedWhileTheEngineWasAway() async throws {
        have(
            image(2, tags: ["\(Self.kept):v2"]), image(3, tags: ["me/f:latest"]),
            image(4, tags: ["dcf.kept/bbbbbbbbbbbb/f:v2"]))
        await played.host.images.keep(only: [PlayedReplica.record()])
        #expect(tags == ["sha256:3": ["\(Self.kept):v3", "me/f:latest"], "sha256:4": ["dcf.kept/bbbbbbbbbbbb/f:v2"]])
    }
}
