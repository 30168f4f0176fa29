import Calls
@testable import ControlPlane
import Engine
import FunctionConfig
import Platform
import Synchronization
import TestSupport
import Testing

/// Functions that are deployed as images, on an engine that is played.
@Suite(.timeLimit(.minutes(1))) struct ImageFunctionTests {
    private let engine = FakeContainerEngine()

    init() {
        for version in 1...2 {
            let image = EngineImage(
                id: "sha256:\(version)", architecture: "amd64", os: "linux", user: "", environment: [],
                labels: [EngineLabel.function: "f", EngineLabel.image: "me/f:\(version)"], digests: [],
                tags: ["me/f:\(version)"], size: 1)
            engine.state.withLock { $0.images["me/f:\(version)"] = image }
        }
    }

    private func request(_ version: Int) -> DeployRequest {
        ControlPlaneTest.request("f", image: "me/f:\(version)", config: "deploy: image", .update)
    }

    private var tags: [String] {
        engine.state.withLock { $0.images.values.flatMap(\.tags).sorted() }
    }

    @Test func imagesStayAsLongAsTheirVersions() async throws {
        let test = try ControlPlaneTest(engine: engine)
        try await test.run {
            try await test.deploy(request(1))
            #expect(try await test.answeringVersion() == 1)
            #expect(tags == ["dcf.kept/aaaaaaaaaaaa/f:v1", "me/f:1", "me/f:2"])
            try await test.deploy(request(2))
            #expect(try await test.answeringVersion() == 2)
            #expect(
                tags == ["dcf.kept/aaaaaaaaaaaa/f:v1", "dcf.kept/aaaaaaaaaaaa/f:v2", "me/f:1", "me/f:2"])
            #expect(try test.files() == ["f.json"])
            try test.expectAgreement()
            try await test.delete()
            #expect(tags == [])
            #expect(try test.files() == [])
        }
    }

    @Test func anImageThatDoesNotStartStaysToBeLookedAt() async throws {
        let test = try ControlPlaneTest(engine: engine)
        try await test.run {
            test.replicas.begin(.raises)
            let failure = try await test.failure { try await test.deploy(request(1)) }
            #expect(failure.message == "function \"f\" did not start: ValueError: bad weights (handler.py:3)")
            #expect(try test.files() == [])
            try test.expectAgreement()
        }
        // Its name of this gateway's is taken away beside.
        #expect(tags == ["me/f:1", "me/f:2"])
    }

    @Test func anImageThatNobodyHasIsNotDeployed() async throws {
        let test = try ControlPlaneTest(engine: engine)
        try await test.run {
            let failure = try await test.failure { try await test.deploy(request(3)) }
            #expect(failure.code == .failedPrecondition)
            #expect(failure.message == "the Docker engine has no image \"me/f:3\"")
            #expect(test.replicas.all.isEmpty)
            try test.expectAgreement()
        }
    }

    @Test func aFunctionFailsWhenItsImageIsGone() async throws {
        let test = try ControlPlaneTest(engine: engine)
        try await test.run { try await test.deploy(request(1)) }
        engine.state.withLock { $0.images["me/f:1"] = nil }
        let again = try ControlPlaneTest(over: try DataImage("stopped", of: test), engine: engine)
        try await again.run {
            try await again.restore()
            await again.until { (try? await again.function().status) == .failed }
            let failure = try await again.failure { _ = try await again.answeringVersion() }
            #expect(failure.code == .failedPrecondition)
            #expect(failure.message.contains("no longer on the Docker engine"))
            #expect(try again.kept() == [1: 100])
            #expect(again.replicas.all.isEmpty)
        }
    }
}
