import Calls
@testable import ControlPlane
import Platform
import Synchronization
import TestSupport
import Testing

/// Gateways that crash between two steps of a change, and what the next gateway makes of it.
@Suite(.timeLimit(.minutes(1))) struct CrashTests {
    enum Change: String, CaseIterable, CustomTestStringConvertible {
        case firstDeploy, firstDeployThatFails, update, updateThatDropsAVersion, replace, replaceThatFails, rollback
        case delete

        var testDescription: String { rawValue }

        /// The version that answers before; nil where there is no function.
        var old: Int? {
            switch self {
            case .firstDeploy, .firstDeployThatFails: nil
            case .update, .updateThatDropsAVersion, .replace, .replaceThatFails, .delete: 1
            case .rollback: 2
            }
        }

        /// The version that answers after it; nil where there is no function.
        var new: Int? {
            switch self {
            case .firstDeploy, .rollback, .replaceThatFails: 1
            case .update, .updateThatDropsAVersion, .replace: 2
            case .delete, .firstDeployThatFails: nil
            }
        }

        /// From which step on it leaves something else than a first deploy or an update; nil is the first.
        var ownStep: String? {
            switch self {
            case .firstDeploy, .update, .rollback, .delete: nil
            case .firstDeployThatFails, .updateThatDropsAVersion, .replace, .replaceThatFails: "starting"
            }
        }
    }

    /// Takes an image of the data folder at each step.
    private final class Camera: Sendable {
        private let images = Mutex<[DataImage]>([])
        private let test: ControlPlaneTest
        private let first: String?

        /// - Parameter first: the step that it begins with; nil is the one before all.
        init(_ test: ControlPlaneTest, from first: String?) {
            self.test = test
            self.first = first
        }

        var all: [DataImage] { images.withLock { $0 } }

        /// - Parameter change: makes the image what a crash in the middle of the step leaves.
        func take(_ step: String, _ change: (TemporaryFolder) throws -> Void = { _ in }) {
            images.withLock { images in
                guard !images.isEmpty || first == nil || first == step else { return }
                do {
                    let image = try DataImage(step, of: test)
                    try change(image.folder)
                    if images.last?.content == image.content {
                        images[images.count - 1].name += ", \(step)"
                    } else {
                        images.append(image)
                    }
                } catch { Issue.record(error) }
            }
        }
    }

    /// What a crash leaves at each step of a change, in order.
    private func images(of change: Change) async throws -> [DataImage] {
        let test = try ControlPlaneTest { if change == .updateThatDropsAVersion { $0.versions = 1 } }
        let camera = Camera(test, from: change.ownStep)
        // The steps hold the camera, which holds the control plane.
        defer { test.steps.observe(nil) }
        try await test.run {
            if change.old != nil { try await test.deploy(try await test.request(config: "replicas: 2")) }
            if change == .rollback { try await test.deploy(try await test.request(handler: "two")) }
            camera.take("before")
            if change == .delete { camera.take("record removed") { try Folder.remove("\($0.path)/records/f.json") } }
            test.steps.observe { step in
                camera.take(step)
                switch (change, step) {
                case (.firstDeploy, "unpacking"):
                    camera.take("half unpacked") { try $0.write("uploads/7/handler.py", "ne") }
                case (.delete, "commit"): camera.take("folder removed") { try Folder.remove("\($0.path)/functions/f") }
                default: break
                }
            }
            try await make(change, test)
            await test.registry.between { camera.take("acknowledged") }
        }
        return camera.all
    }

    private func make(_ change: Change, _ test: ControlPlaneTest) async throws {
        let config = change == .replaceThatFails ? "replicas: 2\nstrategy: replace" : "replicas: 2"
        switch change {
        case .firstDeploy, .update, .updateThatDropsAVersion:
            try await test.deploy(try await test.request(handler: "new", config: config, requirements: "six"))
        case .replace:
            try await test.deploy(try await test.request(handler: "new", config: config, requirements: "six", .replace))
        case .firstDeployThatFails, .replaceThatFails:
            test.replicas.begin(.raises, version: change == .firstDeployThatFails ? 1 : 2)
            let request = try await test.request(handler: "new", config: config, requirements: "six")
            _ = try await test.failure { try await test.deploy(request) }
        case .rollback: _ = try await test.registry.rollBack("f", to: nil)
        case .delete: try await test.delete()
        }
    }

    @Test(arguments: Change.allCases)
    func aCrashLeavesTheOldOrTheNew(change: Change) async throws {
        let images = try await images(of: change)
        var answering: [Int?] = []
        for image in images { answering.append(try await answer(after: image)) }
        // First the old answers, then the new, and never again the old.
        let steps = "\(change): \(zip(images, answering).map { "\($0.name): \($1.map { "\($0)" } ?? "-")" })"
        let switched = answering.firstIndex { $0 != change.old } ?? answering.count
        #expect(answering[switched...].allSatisfy { $0 == change.new }, "\(steps)")
        // What is acknowledged stays.
        let acknowledged = try #require(images.firstIndex { $0.name.contains("acknowledged") })
        #expect(answering[acknowledged] == change.new, "\(steps)")
        #expect(answering.first == change.old, "\(steps)")
    }

    @Test func whatTheRegistryDoesNotKnowStays() async throws {
        let before = try ControlPlaneTest()
        try await before.run { try await before.deploy(try await before.request()) }
        try before.folder.write("functions/mine/1/handler.py", "")
        let test = try ControlPlaneTest(over: try DataImage("stopped", of: before))
        try await test.run {
            try await test.restore()
            await test.registry.tidy()
            try await test.delete()
            #expect(try test.files() == ["mine/1"])
        }
    }

    /// Starts a gateway over what a crash has left: everything is in order, and the function can be changed.
    ///
    /// - Returns: the version that answers; nil where there is no function.
    private func answer(after image: DataImage) async throws -> Int? {
        let test = try ControlPlaneTest(over: image)
        let answering = Mutex<Int?>(nil)
        try await test.run {
            try await test.restore()
            do {
                let version = try await test.answeringVersion()
                answering.withLock { $0 = version }
            } catch let failure as CallFailure where failure.code == .notFound {
                #expect(try test.files() == [], "\(image.name)")
                #expect(try test.kept() == [:], "\(image.name)")
                #expect(test.replicas.all.isEmpty, "\(image.name)")
            }
            await test.registry.tidy()
            try test.expectAgreement("\(image.name)")
            // The next change can be made, and leaves nothing either.
            guard try !test.kept().isEmpty else { return }
            try await test.delete()
            #expect(try test.files() == [], "\(image.name)")
        }
        try test.expectAgreement("\(image.name)")
        return answering.withLock { $0 }
    }
}

extension FunctionRegistry {
    /// Runs `body` while the registry makes no step.
    fileprivate func between(_ body: @Sendable () -> Void) { body() }
}
