import Calls
@testable import ControlPlane
import FunctionConfig
import Platform
import Synchronization
import TestSupport
import Testing

/// Changes of functions, as those see them who deploy and those who call.
@Suite(.timeLimit(.minutes(1))) struct DeployTests {
    /// Collects what a deploy tells.
    private final class Told: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }

        func add(_ event: DeployEvent) {
            if case .step(let text) = event { lines.withLock { $0.append(text) } }
        }
    }

    @Test func aDeployedFunctionIsOnTheDiskAndAnswers() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            let told = Told()
            try await test.deploy(try await test.request(config: "replicas: 3")) { told.add($0) }
            #expect(
                told.all == ["unpacking", "preparing the environment", "starting", "starting 2 more replicas"])
            #expect(try await test.function().status == .ready)
            #expect(try await test.answeringVersion() == 1)
            #expect(test.replicas.all.count == 3)
            #expect(try test.kept() == [1: 100])
            #expect(try test.files() == ["f.json", "f/1", "1 bundle"])
            try test.expectAgreement()
        }
        #expect(test.replicas.all.allSatisfy { $0.backend.wasKilled.current == nil })
    }

    @Test func aFirstDeployThatFailsLeavesItsLogAlone() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            test.replicas.begin(.raises)
            let request = try await test.request(config: "replicas: 3")
            let failure = try await test.failure { try await test.deploy(request) }
            #expect(failure.code == .failedPrecondition)
            #expect(failure.message == "function \"f\" did not start: ValueError: bad weights (handler.py:3)")
            // The constructor ran once.
            #expect(test.replicas.all.count == 1)
            #expect(try test.kept() == [:])
            #expect(try test.files() == [])
            try test.expectAgreement()
            let called = try await test.failure { _ = try await test.answeringVersion() }
            #expect((called.code, called.executed) == (.notFound, .no))
            let log = try await test.registry.log(of: "f").tail()
            #expect(log.contains("replica 1 not started: ValueError: bad weights (handler.py:3)"))
            #expect(log.contains("failed: function \"f\" did not start"))

            // The name is free, and the next is a first one again.
            test.replicas.begin(.ready)
            try await test.deploy(try await test.request(handler: "better"))
            #expect(try await test.answeringVersion() == 1)
            #expect(try test.files() == ["f.json", "f/1", "1 bundle"])
        }
    }

    @Test func aReplicaThatFailsLaterTakesTheOthersAlong() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            test.replicas.begin(.waits)
            let request = try await test.request(config: "replicas: 2")
            async let failed = test.failure { try await test.deploy(request) }
            let first = await test.replicas.begun(0)
            try first.backend.dial()
            await test.replicas.begun(1).raise()
            #expect(try await failed.message.contains("ValueError: bad weights"))
            #expect(first.backend.wasKilled.current == nil)
            #expect(try test.files() == [])
            try test.expectAgreement()
        }
    }

    @Test func whatCannotBeDeployedIsRefusedBeforeAnythingStarts() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            let missing = ControlPlaneTest.request(
                "f", config: "{}", bundle: String(repeating: "a", count: 64), .update)
            #expect(try await test.failure { try await test.deploy(missing) }.code == .failedPrecondition)
            let bad = try await test.request(config: "replicas: none")
            #expect(try await test.failure { try await test.deploy(bad) }.code == .invalidArgument)
            let other = try await test.request(config: "handler: {file: other.py}")
            #expect(
                try await test.failure { try await test.deploy(other) }.message.contains(
                    "the function's folder holds no file \"other.py\""))
            var unknown = try await test.request()
            unknown.mustExist = true
            #expect(try await test.failure { try await test.deploy(unknown) }.code == .notFound)
            #expect(try test.files() == [])
            try test.expectAgreement()
            try await test.deploy(try await test.request())
            let again = try await test.request(handler: "two", .refuse)
            #expect(try await test.failure { try await test.deploy(again) }.code == .alreadyExists)
            #expect(test.replicas.all.count == 1)
            #expect(try test.files() == ["f.json", "f/1", "1 bundle"])
        }
    }

    @Test func ofOneFunctionThereIsOneChangeAtATime() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            test.replicas.begin(.waits)
            let (first, second) = (try await test.request(), try await test.request(handler: "two"))
            async let deployed = test.deploy(first)
            let start = await test.replicas.begun(0)
            let failure = try await test.failure { try await test.deploy(second) }
            #expect(failure.code == .aborted)
            #expect(failure.message == "another change of function \"f\" is under way; try again after it")
            try start.backend.dial()
            _ = try await deployed
            #expect(try await test.answeringVersion() == 1)
            #expect(try test.files() == ["f.json", "f/1", "1 bundle"])
        }
    }

    @Test func aDeployerWhoLeavesEndsTheDeploy() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            test.replicas.begin(.waits)
            let request = try await test.request()
            let deploy = Task { try await test.failure { try await test.deploy(request) } }
            let start = await test.replicas.begun(0)
            deploy.cancel()
            #expect(try await deploy.value.code == .cancelled)
            #expect(start.backend.wasKilled.current != nil)
            #expect(try test.files() == [])
            try test.expectAgreement()
        }
    }

    // MARK: Updates

    @Test func anUpdateTakesOverWithoutABreak() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request())
            let old = try #require(test.replicas.all.first)
            let held = test.call("f", "hold old")
            try await old.handler.wait { $0.inputs == ["hold old"] }
            let waiting = test.call("f", "echo new")
            test.replicas.begin(.waits, version: 2)
            let request = try await test.request(handler: "two")
            async let updated = test.deploy(request)
            let new = await test.replicas.begun(0, version: 2)
            // Until it is Ready all is as it was.
            #expect(try test.kept() == [1: 100])
            #expect(try await test.function().status == .ready)
            try new.backend.dial()
            _ = try await updated
            // What waited has moved; what runs is finished.
            #expect(try await test.reply(to: waiting) == "new")
            #expect(new.has("echo new"))
            try await old.handler.release()
            #expect(try await test.reply(to: held) == "old")
            #expect(try await test.answeringVersion() == 2)
            #expect(try test.kept() == [1: 0, 2: 100])
            #expect(try test.files() == ["f.json", "f/1", "f/2", "2 bundles"])
            try test.expectAgreement()
            // The old is kept: who names it starts it.
            #expect(try await test.answeringVersion(of: "f@1") == 1)
            #expect(test.replicas.of(version: 1).count == 2)
        }
        #expect(test.replicas.all.allSatisfy { $0.backend.wasKilled.current == nil })
    }

    @Test func anUpdateThatFailsChangesNothing() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request())
            test.replicas.begin(.raises, version: 2)
            let request = try await test.request(handler: "two")
            let failure = try await test.failure { try await test.deploy(request) }
            #expect(failure.message.contains("ValueError: bad weights"))
            #expect(try await test.answeringVersion() == 1)
            #expect(test.replicas.of(version: 1).count == 1)
            #expect(try test.kept() == [1: 100])
            #expect(try test.files() == ["f.json", "f/1", "1 bundle"])
            try test.expectAgreement()
            #expect(try await test.registry.log(of: "f").tail().contains("dcf: version 2 is not deployed: function"))
            // The number is free again.
            test.replicas.begin(.ready, version: 2)
            try await test.deploy(try await test.request(handler: "three"))
            #expect(try await test.answeringVersion() == 2)
        }
    }

    @Test func aReplaceThatFailsBringsTheOldBack() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request(config: "replicas: 2"))
            test.replicas.begin(.waits, version: 2)
            let request = try await test.request(handler: "two", config: "strategy: replace")
            async let failed = test.failure { try await test.deploy(request) }
            let new = await test.replicas.begun(0, version: 2)
            // The old is gone before, and was drained.
            #expect(try await test.function().live.flatMap(\.replicas).isEmpty)
            #expect(test.replicas.of(version: 1).allSatisfy { $0.backend.wasKilled.current == nil })
            let waiting = test.call("f", "echo waited")
            new.raise()
            #expect(try await failed.message.contains("ValueError: bad weights"))
            #expect(try await test.reply(to: waiting) == "waited")
            await test.until { (try? await test.function().status) == .ready }
            #expect(test.replicas.of(version: 1).count == 4)
            #expect(try await test.answeringVersion() == 1)
            #expect(try test.kept() == [1: 100])
            #expect(try test.files() == ["f.json", "f/1", "1 bundle"])
            try test.expectAgreement()
        }
    }

    @Test func aReplaceKeepsTheNewAlone() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request())
            try await test.deploy(try await test.request(handler: "two"))
            try await test.deploy(try await test.request(handler: "three", .replace))
            #expect(try await test.answeringVersion() == 3)
            #expect(try test.kept() == [3: 100])
            let failure = try await test.failure { _ = try await test.answeringVersion(of: "f@1") }
            #expect(failure.message == "function \"f\" has no version 1; kept: 3")
        }
        #expect(try test.files() == ["f.json", "f/3", "1 bundle"])
        try test.expectAgreement()
    }

    @Test func theOldestVersionGoesWhenThereAreTooMany() async throws {
        let test = try ControlPlaneTest { $0.versions = 2 }
        try await test.run {
            for handler in ["one", "two", "one"] { try await test.deploy(try await test.request(handler: handler)) }
            #expect(try await test.answeringVersion() == 3)
            #expect(try test.kept() == [2: 0, 3: 100])
        }
        // The bundle of the first is the third's, too.
        #expect(try test.files() == ["f.json", "f/2", "f/3", "2 bundles"])
        try test.expectAgreement()
    }

    // MARK: Traffic

    @Test func aRollbackGoesToTheVersionBefore() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request())
            let none = try await test.failure { _ = try await test.registry.rollBack("f", to: nil) }
            #expect(none.code == .failedPrecondition)
            #expect(none.message.hasPrefix("function \"f\" keeps no version before 1"))
            try await test.deploy(try await test.request(handler: "two"))
            try await test.deploy(try await test.request(handler: "three"))
            #expect(try await test.registry.rollBack("f", to: nil) == 2)
            #expect(try await test.answeringVersion() == 2)
            #expect(try await test.registry.rollBack("f", to: 1) == 1)
            #expect(try await test.answeringVersion() == 1)
            #expect(try test.kept() == [1: 100, 2: 0, 3: 0])
            let same = try await test.failure { _ = try await test.registry.rollBack("f", to: 1) }
            #expect(same.message == "version 1 of function \"f\" gets all its calls already")
            let gone = try await test.failure { _ = try await test.registry.rollBack("f", to: 9) }
            #expect(gone.message == "function \"f\" has no version 9; kept: 1, 2, 3")
            // The next is newer than all.
            try await test.deploy(try await test.request(handler: "four"))
            #expect(try await test.answeringVersion() == 4)
        }
        try test.expectAgreement()
    }

    @Test func aRollbackThatFailsChangesNothing() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request())
            try await test.deploy(try await test.request(handler: "two"))
            test.replicas.begin(.raises)
            let failure = try await test.failure { _ = try await test.registry.rollBack("f", to: nil) }
            #expect(failure.message.contains("ValueError: bad weights"))
            #expect(try await test.answeringVersion() == 2)
            #expect(try test.kept() == [1: 0, 2: 100])
            #expect(test.replicas.of(version: 2).count == 1)
        }
        try test.expectAgreement()
    }

    @Test func callsAreDividedAsTheWeightsSay() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request())
            try await test.deploy(try await test.request(handler: "two"))
            let wrong = try await test.failure { try await test.registry.setTraffic("f", [(1, 10), (2, 80)]) }
            #expect(wrong.code == .invalidArgument)
            #expect(wrong.message.hasPrefix("traffic of function \"f\": the weights add up to 90"))
            let unknown = try await test.failure { try await test.registry.setTraffic("f", [(1, 10), (3, 90)]) }
            #expect(unknown.message == "function \"f\" has no version 3; kept: 1, 2")
            #expect(try test.kept() == [1: 0, 2: 100])

            try await test.registry.setTraffic("f", [(1, 10), (2, 90)])
            #expect(try test.kept() == [1: 10, 2: 90])
            for call in (0..<100).map({ test.call("f", "echo \($0)") }) { try await test.reply(to: call) }
            let ends = await test.outcomes.next(100)
            // Whoever counts calls sees the version that has answered.
            #expect(ends.count { $0.version == 1 } == 10)
            #expect(ends.count { $0.version == 2 } == 90)
            #expect(ends.allSatisfy { $0.function == "f" && $0.code == .ok && $0.executed == .yes })

            try await test.registry.setTraffic("f", [(1, 100)])
            #expect(try await test.answeringVersion() == 1)
            #expect(try test.kept() == [1: 100, 2: 0])
        }
        try test.expectAgreement()
        #expect(test.replicas.all.allSatisfy { $0.backend.wasKilled.current == nil })
    }

    // MARK: The end

    @Test func aDeleteFinishesWhatRunsAndRefusesWhatWaits() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request())
            let handler = try await #require(test.replicas.all.first).handler
            let held = test.call("f", "hold last")
            await handler.wait { $0.inputs == ["hold last"] }
            let waiting = test.call("f", "echo never")
            async let deleted: Void = test.delete()
            let refused = try await test.failure { try await test.reply(to: waiting) }
            #expect((refused.code, refused.executed) == (.notFound, .no))
            #expect(refused.message.hasPrefix("function \"f\" is not deployed"))
            let late = try await test.failure { _ = try await test.answeringVersion() }
            #expect(late.code == .notFound)
            // It is gone from the disk already; its files are in use.
            #expect(try test.kept() == [:])
            #expect(try test.files() == ["f/1", "1 bundle"])
            handler.release()
            #expect(try await test.reply(to: held) == "last")
            try await deleted
            #expect(try test.files() == [])
            try test.expectAgreement()
            #expect(try await test.registry.log(of: "f").tail().contains("function \"f\" was deleted at"))
            let gone = try await test.failure { try await test.delete() }
            #expect(gone.code == .notFound)
            // The name is free.
            try await test.deploy(try await test.request(handler: "two"))
            #expect(try await test.answeringVersion() == 1)
        }
        #expect(test.replicas.all.allSatisfy { $0.backend.wasKilled.current == nil })
    }

    @Test func aBundleStaysForTheOtherFunctionThatHasIt() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request())
            try await test.deploy(try await test.request("g"))
            try await test.delete()
            #expect(try test.files() == ["g.json", "g/1", "1 bundle"])
            #expect(try await test.answeringVersion(of: "g") == 1)
        }
        try test.expectAgreement()
    }
}
