import Calls
@testable import ControlPlane
import FunctionConfig
import Platform
import Synchronization
import TestSupport
import Testing

/// Functions that die, hang, rest and grow.
@Suite(.timeLimit(.minutes(1))) struct SupervisedFunctionTests {
    // MARK: Deaths

    @Test func aDeathFailsItsCallAndTheNextReplicaTakesTheOthers() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request())
            let first = try #require(test.replicas.all.first)
            let lost = test.call("f", "hold lost")
            try await first.handler.wait { $0.inputs == ["hold lost"] }
            let waiting = test.call("f", "echo waited")
            first.backend.end(.signal(11))
            let failure = try await test.failure { try await test.reply(to: lost) }
            #expect((failure.code, failure.executed) == (.unavailable, .maybe))
            #expect(failure.message == "the process of \"f\" ended during the call: signal 11 (SIGSEGV)")
            #expect(try await test.reply(to: waiting) == "waited")
            #expect(test.replicas.all.count == 2)
            #expect(test.replicas.all.last?.has("echo waited") == true)
            let shown = try #require(try await test.function().current.replicas.first)
            #expect((shown.phase, shown.restarts, shown.number) == (.ready, 1, 1))
            #expect(try await test.function().status == .ready)
            #expect(try await test.registry.log(of: "f").tail().contains("replica 1 died: signal 11 (SIGSEGV)"))
        }
    }

    @Test func oneThatKeepsDyingWaitsAndSaysForWhat() async throws {
        let test = try ControlPlaneTest(restarts: ControlPlaneTest.restarts(after: .seconds(3_600)))
        try await test.run {
            try await test.deploy(try await test.request(config: "timeout: {call: 1ms}"))
            test.replicas.begin(.waits)
            // At once the first time, then after the pause.
            test.replicas.all.first?.backend.end(.status(3))
            await test.replicas.begun(1).backend.end(.status(3))
            await test.until { (try? await test.function().current.replicas.first?.phase) == .waiting }
            let function = try await test.function()
            #expect(function.status == .degraded)
            #expect(function.reason.hasPrefix("the process ended before the handler was constructed: exit status 3"))
            #expect(function.reason.contains("; next try in 3"))
            let failure = try await test.failure { try await test.reply(to: test.call("f", "echo x")) }
            #expect((failure.code, failure.executed) == (.deadlineExceeded, .no))
            #expect(failure.message.contains("exit status 3; next try in 3"))
            #expect(test.replicas.all.count == 2)
            #expect(try test.kept() == [1: 100])

            // Who restarts it does not wait.
            test.replicas.begin(.ready)
            try await test.registry.restart("f")
            #expect(try await test.function().status == .ready)
            #expect(try await test.function().reason == "")
            #expect(test.replicas.all.count == 3)
        }
    }

    @Test func fiveDeathsInARowAreNotTheEnd() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request())
            test.replicas.begin(.waits)
            test.replicas.all.first?.backend.end(.status(3))
            _ = await test.replicas.begun(1)
            let call = test.call("f", "echo patient")
            for number in 1...4 {
                let start = await test.replicas.begun(number)
                #expect(try await test.function().status == .degraded)
                start.raise()
            }
            let last = await test.replicas.begun(5)
            #expect(try await test.function().current.replicas.first?.restarts == 5)
            #expect(try await test.function().reason == "ValueError: bad weights (handler.py:3)")
            try last.backend.dial()
            #expect(try await test.reply(to: call) == "patient")
            #expect(try await test.function().status == .ready)
            #expect(try await test.function().reason == "")
            let log = try await test.registry.log(of: "f").tail()
            #expect(log.split(separator: "\n").count { $0.contains("not started: ValueError") } == 4)
        }
    }

    @Test func anAnswerMakesTheNextDeathAFirstOne() async throws {
        let test = try ControlPlaneTest(restarts: ControlPlaneTest.restarts(after: .seconds(3_600)))
        try await test.run {
            try await test.deploy(try await test.request())
            for number in 0..<3 {
                #expect(try await test.answeringVersion() == 1)
                await test.replicas.begun(number).backend.end(.status(3))
                _ = await test.replicas.begun(number + 1)
            }
            #expect(try await test.answeringVersion() == 1)
            #expect(test.replicas.all.count == 4)
        }
    }

    @Test func anUpdateEndsTheWaitOfOneThatKeepsDying() async throws {
        let test = try ControlPlaneTest(restarts: ControlPlaneTest.restarts(after: .seconds(3_600)))
        try await test.run {
            try await test.deploy(try await test.request())
            test.replicas.begin(.waits)
            test.replicas.all.first?.backend.end(.status(3))
            await test.replicas.begun(1).backend.end(.status(3))
            await test.until { (try? await test.function().current.replicas.first?.phase) == .waiting }
            let waiting = test.call("f", "echo saved")
            try await test.deploy(try await test.request(handler: "two"))
            #expect(try await test.reply(to: waiting) == "saved")
            #expect(try await test.answeringVersion() == 2)
            #expect(try await test.function().status == .ready)
        }
    }

    // MARK: Stuck

    @Test func aStuckHandlerIsReplacedAndKilled() async throws {
        let test = try ControlPlaneTest(restarts: ControlPlaneTest.restarts(after: .seconds(3_600))) {
            $0.overrunGrace = .milliseconds(1)
        }
        try await test.run {
            try await test.deploy(try await test.request(config: "timeout: {call: 5ms}"))
            let first = try #require(test.replicas.all.first)
            let stuck = test.call("f", "hang")
            let failure = try await test.failure { try await test.reply(to: stuck) }
            #expect(failure.code == .deadlineExceeded)
            _ = await first.backend.wasKilled.value()
            #expect(first.backend.stacks.load(ordering: .relaxed) == 1)
            // That costs no wait: the next is there at once, and answers as soon as a call is in time.
            _ = await test.replicas.begun(1)
            await test.until { (try? await test.function().status) == .ready }
            var answer: Result<[UInt8], CallFailure>?
            repeat { answer = await test.call("f", "echo free").answer.value() } while answer?.code == .deadlineExceeded
            #expect(try answer?.get() == Array("free".utf8))
            let log = try await test.registry.log(of: "f").tail()
            #expect(log.contains("replica 1 is at a call for more than 0.005 s (timeout.call) and gets no more"))
            #expect(
                log.contains("replica 1 killed: its handler was at a call for more than 0.005 s (timeout.call)"))
            #expect(test.replicas.all.map(\.number).prefix(2) == [1, 2])
        }
    }

    // MARK: Rest

    @Test func anIdleFunctionRestsUntilACallComes() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request(config: "replicas: {min: 0, max: 1}\ntimeout: {idle: 10s}"))
            #expect(try await test.answeringVersion() == 1)
            let start = MonotonicTime.now
            await test.registry.followLoad(at: start)
            await test.registry.followLoad(at: start.advanced(by: .seconds(9)))
            #expect(try await test.function().status == .ready)
            await test.registry.followLoad(at: start.advanced(by: .seconds(10)))
            #expect(try await test.function().status == .idle)
            #expect(try await test.function().status.serves)
            #expect(try await test.function().current.replicas.isEmpty)
            try await test.replicas.begun(0).handler.wait { $0.hasEnded }
            // Nothing starts it but a call.
            await test.registry.followLoad(at: start.advanced(by: .seconds(20)))
            await test.registry.tidy()
            #expect(test.replicas.all.count == 1)
            #expect(try await test.answeringVersion() == 1)
            #expect(test.replicas.all.count == 2)
            #expect(try await test.function().status == .ready)
            #expect(try test.kept() == [1: 100])
        }
        #expect(test.replicas.all.allSatisfy { $0.backend.wasKilled.current == nil })
    }

    @Test func manyCallsWakeItOnce() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request(config: "replicas: {min: 0, max: 1}\ntimeout: {idle: 10s}"))
            let start = MonotonicTime.now
            await test.registry.followLoad(at: start)
            await test.registry.followLoad(at: start.advanced(by: .seconds(10)))
            try await test.replicas.begun(0).handler.wait { $0.hasEnded }
            let calls = (0..<20).map { test.call("f", "echo \($0)") }
            for (number, call) in calls.enumerated() { #expect(try await test.reply(to: call) == "\(number)") }
            #expect(test.replicas.all.count == 2)
        }
    }

    // MARK: Load

    @Test func aFunctionGrowsWithItsLoadAndShrinksAfterIt() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request(config: "replicas: {min: 1, max: 3}"))
            let inputs = ["hold 0", "hold 1", "hold 2", "echo 3", "echo 4"]
            let calls = inputs.map { test.call("f", $0) }
            let start = MonotonicTime.now
            await test.registry.followLoad(at: start)
            // Not for a load that comes and goes.
            await test.registry.followLoad(at: start.advanced(by: .milliseconds(900)))
            #expect(test.replicas.all.count == 1)
            await test.registry.followLoad(at: start.advanced(by: .seconds(1)))
            await test.until { (try? await test.function().current.replicas.count { $0.phase == .ready }) == 3 }
            #expect(test.replicas.all.count == 3)
            // Each has a call, and two wait: there are never more than three.
            for index in 0..<3 { try await test.replicas.begun(index).handler.wait { !$0.inputs.isEmpty } }
            await test.registry.followLoad(at: start.advanced(by: .seconds(2)))
            await test.registry.followLoad(at: start.advanced(by: .seconds(3)))
            #expect(test.replicas.all.count == 3)
            for index in 0..<3 { try await test.replicas.begun(index).handler.release() }
            for (number, call) in calls.enumerated() { #expect(try await test.reply(to: call) == "\(number)") }
            // Nobody calls: after the window there is one again.
            await test.registry.followLoad(at: start.advanced(by: .seconds(4)))
            #expect(try await test.function().current.replicaSet?.living == 3)
            await test.registry.followLoad(at: start.advanced(by: .seconds(64)))
            #expect(try await test.function().current.replicaSet?.living == 1)
            await test.until { (try? await test.function().current.replicas.map(\.number)) == [1] }
            #expect(try await test.answeringVersion() == 1)
            #expect(try test.kept() == [1: 100])
        }
    }

    @Test func aScaleHoldsAndIsOnTheDisk() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request())
            try await test.registry.scale("f", to: .init(min: 3, max: 3))
            await test.until { (try? await test.function().current.replicas.count { $0.phase == .ready }) == 3 }
            try await test.registry.scale("f@1", to: .init(min: 2, max: 2))
            await test.until { (try? await test.function().current.replicas.map(\.number)) == [1, 2] }
            let failure = try await test.failure { try await test.registry.scale("f", to: .init(min: 0, max: 0)) }
            #expect(failure.code == .invalidArgument)
            #expect(failure.message.hasPrefix("0 replicas: 1 to 1024 are possible"))
            try test.expectAgreement()
        }
        let again = try ControlPlaneTest(over: try DataImage("stopped", of: test))
        try await again.run {
            try await again.restore()
            await again.until { (try? await again.function().status) == .ready }
            #expect(again.replicas.all.count == 2)
            #expect(try await again.function().invocations == 0)
        }
    }

    @Test func countsOutliveTheGateway() async throws {
        let test = try ControlPlaneTest()
        try await test.run {
            try await test.deploy(try await test.request())
            for _ in 0..<3 { #expect(try await test.answeringVersion() == 1) }
            #expect(try await test.function().invocations == 3)
        }
        let again = try ControlPlaneTest(over: try DataImage("stopped", of: test))
        try await again.run {
            try await again.restore()
            #expect(try await again.answeringVersion() == 1)
            #expect(try await again.function().invocations == 4)
        }
    }
}

extension Result where Failure == CallFailure {
    /// Nil for a reply.
    fileprivate var code: StatusCode? {
        if case .failure(let failure) = self { failure.code } else { nil }
    }
}
