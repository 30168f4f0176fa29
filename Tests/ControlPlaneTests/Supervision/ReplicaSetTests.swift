import Calls
@testable import ControlPlane
import Link
import Platform
import Synchronization
import TestSupport
import Testing
import WatcherLink

@Suite struct ReplicaSetTests {
    /// Ends all replicas, whatever they do.
    private func end(_ sets: ReplicaSet...) async {
        for set in sets { set.stop() }
        for set in sets { await set.waitUntilEnded() }
    }

    /// Starts `count` replicas. Returns the failure, if the start failed.
    private func failure(of set: ReplicaSet, _ count: Int, _ test: SupervisionTest) -> Promise<ConstructorFailure?> {
        let failed = Promise<ConstructorFailure?>()
        test.context.tasks.add {
            do throws(ConstructorFailure) {
                try await set.start(count) { _ in }
                failed.settle(nil)
            } catch { failed.settle(error) }
        }
        return failed
    }

    @Test func aFirstStartThatFailsIsNotTriedAgain() async throws {
        let test = try SupervisionTest()
        try await test.run {
            let set = try test.set(isActive: false)
            let failed = failure(of: set, 3, test)
            let backend = await test.replicas.begun(0).backend
            try backend.dial(failure: Failed(stage: .constructor, summary: "ValueError: no (handler.py:3)"))
            backend.end(.status(1))
            let failure = await failed.value() ?? nil
            #expect(failure?.summary == "ValueError: no (handler.py:3)")
            #expect(failure?.cause == .handler)
            #expect(test.replicas.all.count == 1)
            await test.wait(set) { $0.isEmpty }
        }
    }

    @Test func aDeathIsFollowedByAStartAtOnceThenLater() async throws {
        let test = try SupervisionTest()
        try await test.run {
            let set = try test.set()
            set.add(1)
            let first = await test.replicas.begun(0).backend
            try first.dial()
            await test.wait(set) { $0.first?.phase == .ready }
            first.end(.status(3))
            let second = await test.replicas.begun(1).backend
            second.end(.signal(11))
            await test.wait(set) { $0.first?.phase == .waiting && $0.first?.restarts == 2 }
            let shown = try #require(set.shown.first)
            #expect(shown.explanation.contains("signal 11 (SIGSEGV); next try"))
            try await test.replicas.begun(2).backend.dial()
            await test.wait(set) { $0.first?.phase == .ready }
            #expect(set.shown.first?.explanation == "")
            await end(set)
        }
    }

    @Test func whatIsTheMachinesDoesNotCount() async throws {
        let test = try SupervisionTest()
        try await test.run {
            let set = try test.set()
            set.add(1)
            for number in 0..<4 {
                await test.replicas.begun(number).backend.fail(
                    ConstructorFailure(summary: "no descriptors", traceback: "", isElsewhere: true))
            }
            try await test.replicas.begun(4).backend.dial()
            await test.wait(set) { $0.first?.phase == .ready }
            #expect(set.shown.first?.restarts == 4)
            // The first death by the handler's own code still counts as the first.
            #expect(test.backoff.died(.handler, hadAnswered: false, because: "") == .zero)
            await end(set)
        }
    }

    @Test func aWatcherThatCannotDialIsTheMachines() async throws {
        let test = try SupervisionTest()
        try await test.run {
            let set = try test.set(isActive: false)
            let failed = failure(of: set, 1, test)
            await test.replicas.begun(0).backend.end(.status(69))
            let failure = await failed.value() ?? nil
            #expect(failure?.cause == .elsewhere)
            #expect(failure?.summary.contains(test.context.links.path) == true)
        }
    }

    @Test func aStuckReplicaIsReplacedAtOnceAndDoesNotCount() async throws {
        let test = try SupervisionTest()
        try await test.run {
            let set = try test.set()
            set.add(1)
            let first = await test.replicas.begun(0).backend
            try first.dial()
            await test.wait(set) { $0.first?.phase == .ready }
            let call = FakeCall()
            let now = MonotonicTime.now
            test.route.admit(call.invocation("wait", of: test.route, at: now, timeout: 1_000))
            // The caller's deadline is over, but the handler's limit is not.
            let early = test.route.sweep(at: now.advanced(by: .seconds(9)), watchAfter: 0)
            #expect(early.overruns.isEmpty)
            #expect(call.failures == [.deadlinePassed(executed: .maybe)])
            await end(set)
            #expect(test.replicas.all.count == 1)
        }
    }

    @Test func aReplicaBeyondTimeoutCallIsStuck() async throws {
        let test = try SupervisionTest()
        try await test.run {
            let set = try test.set()
            set.add(1)
            let first = await test.replicas.begun(0).backend
            try first.dial()
            await test.wait(set) { $0.first?.phase == .ready }
            let now = MonotonicTime.now
            test.route.admit(FakeCall().invocation("wait", of: test.route, at: now))
            let late = now.advanced(by: SupervisionTest.callTimeout + .milliseconds(200))
            for overrun in test.route.sweep(at: late, watchAfter: 0).overruns { overrun.replica.onOverrun(overrun) }
            let second = await test.replicas.begun(1).backend
            #expect(first.stacks.load(ordering: .relaxed) == 1)
            #expect(test.backoff.current == nil)
            try second.dial()
            await test.wait(set) { $0.contains { $0.phase == .ready } }
            #expect(set.living == 1)
            await end(set)
        }
    }

    @Test func anIdleReplicaIsDrained() async throws {
        let test = try SupervisionTest()
        try await test.run {
            let set = try test.set()
            set.add(2)
            for number in 0..<2 { try await test.replicas.begun(number).backend.dial() }
            await test.wait(set) { $0.count { $0.phase == .ready } == 2 }
            await end(set)
            #expect(test.replicas.all.allSatisfy { $0.backend.wasKilled.current == nil })
            await test.wait(set) { $0.isEmpty }
        }
    }

    @Test func oneThatDiesBeforeTheActivationIsReplaced() async throws {
        let test = try SupervisionTest()
        try await test.run {
            let set = try test.set(isActive: false)
            async let started: Void = set.start(1) { _ in }
            let first = await test.replicas.begun(0).backend
            try first.dial()
            try await started
            first.end(.signal(9))
            await test.wait(set) { $0.isEmpty }
            set.activate()
            try await test.replicas.begun(1).backend.dial()
            await test.wait(set) { $0.first?.phase == .ready }
            await end(set)
        }
    }

    @Test func startsAreAdmittedAndSayWhatTheyWaitFor() async throws {
        let test = try SupervisionTest(starts: 1)
        try await test.run {
            let (one, two) = (try test.set(), try test.set(of: test.anotherRoute()))
            let busy = test.anotherRoute()
            let three = try test.set(of: busy)
            one.add(1)
            let first = await test.replicas.begun(0).backend
            two.add(1)
            await test.wait(two) { $0.first?.wait != nil }
            #expect(two.shown.first?.explanation == "waits for its turn: 1 other is starting")
            #expect(
                FunctionStatus(replicas: two.shown, wanted: 1, hasFailed: false) == .starting)
            busy.admit(FakeCall().invocation("echo x", of: busy, at: .now))
            three.add(1)
            await test.wait(three) { $0.first?.wait != nil }
            try first.dial()
            // Calls wait for the replica.
            await test.replicas.begun(2).backend.end(.status(0))
            await end(three)
            let second = await test.replicas.begun(1).backend
            await end(one, two)
            #expect(second.wasKilled.current != nil)
            #expect(test.context.starts.running == 0)
        }
    }

    @Test func aPauseIsNotShortenedByAnotherSet() async throws {
        var limits = RestartPolicy.Limits()
        (limits.firstDelay, limits.delayMax) = (.seconds(3_600), .seconds(3_600))
        let test = try SupervisionTest(restarts: RestartPolicy(limits: limits))
        try await test.run {
            for _ in 0..<2 { _ = test.backoff.died(.handler, hadAnswered: false, because: "bad weights") }
            let set = try test.set()
            set.add(1)
            await test.wait(set) { $0.first?.phase == .waiting }
            #expect(set.shown.first?.explanation.contains("bad weights; next try in") == true)
            #expect(test.replicas.all.isEmpty)
            // A deploy or restart is not delayed.
            let other = try test.set(isActive: false)
            async let started: Void = other.start(1) { _ in }
            try await test.replicas.begun(0).backend.dial()
            try await started
            await end(set, other)
        }
    }
}
