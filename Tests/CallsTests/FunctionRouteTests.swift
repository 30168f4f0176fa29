@testable import Calls
import FunctionConfig
import Synchronization
import Platform
import TestSupport
import Testing

@Suite struct FunctionRouteTests {
    private func settings(
        concurrency: Int = 1, queueBound: Int = 1_000, callTimeout: Duration = .seconds(1_000)
    ) -> RouteSettings {
        RouteSettings(callTimeout: callTimeout, queueBound: queueBound, concurrency: concurrency)
    }

    // MARK: The choice of a replica

    @Test func ofIdleReplicasTheOneThatGotACallLastGetsTheNext() {
        let test = RouteTest()
        let watchers = (0..<3).map { _ in test.watcher() }
        /// - Parameter wanted: which replica must get it.
        func call(_ number: Int, wanted: Int) -> [UInt64] {
            test.call("\(number)", at: Int64(number))
            let frames = watchers[wanted].received()
            #expect(frames.map(\.payload) == ["\(number)"])
            return frames.map(\.id)
        }
        for number in 0..<5 { watchers[0].reply(call(number, wanted: 0), at: test.at(Int64(number))) }
        let busy = call(5, wanted: 0)
        for number in 6..<10 { watchers[1].reply(call(number, wanted: 1), at: test.at(Int64(number))) }
        watchers[0].reply(busy, at: test.at(10))
        // The first replica is idle as well.
        watchers[1].reply(call(11, wanted: 1), at: test.at(11))
        test.expectEmpty()
    }

    @Test func equallyBusyReplicasTakeTurns() {
        let test = RouteTest(settings(concurrency: 8))
        let watchers = (0..<3).map { _ in test.watcher() }
        for number in 0..<12 { test.call("\(number)", at: 0) }
        #expect(watchers.map { $0.calls() } == (0..<3).map { first in (0..<4).map { "\(first + 3 * $0)" } })
    }

    @Test func callsOfABriefHandlerStayTogether() {
        let test = RouteTest()
        let watchers = (0..<3).map { _ in test.watcher() }
        // Nothing is known of the handler yet.
        for number in 0..<3 { test.call("\(number)", at: 0) }
        for watcher in watchers {
            let ids = watcher.received().map(\.id)
            #expect(ids.count == 1)
            test.route.note(pace: 10_000, of: watcher.slots)
            watcher.reply(ids, at: test.at(5))
        }
        // 500 us are the work of 50 such calls.
        for number in 0..<60 { test.call("\(number)", at: 10) }
        let counts = watchers.map { $0.calls().count }
        #expect(counts.sorted() == [0, 10, 50])

        // A call that lasts does not keep others behind it.
        test.sweep(at: 2_100)
        let last = test.call("last", at: 2_200)
        #expect(watchers.flatMap { $0.calls() } == ["last"])
        #expect(last.failures.isEmpty)
    }

    @Test func callsOfAHandlerThatIsNotBriefAnyMoreSpread() {
        let test = RouteTest()
        let watchers = (0..<3).map { _ in test.watcher() }
        for watcher in watchers { test.route.note(pace: 10_000, of: watcher.slots) }
        test.call("a", at: 0)
        test.call("b", at: 0)
        #expect(watchers.map { $0.calls() } == [["a", "b"], [], []])
        test.route.note(pace: 30_000, of: watchers[0].slots)
        test.call("c", at: 1)
        test.call("d", at: 1)
        #expect(watchers.map { $0.calls() } == [[], ["c", "d"], []], "the others are brief still")
        for watcher in watchers { test.route.note(pace: 30_000, of: watcher.slots) }
        test.call("e", at: 1)
        #expect(watchers.map { $0.calls() } == [[], [], ["e"]])
    }

    @Test func theLoadIsMeasuredByWhatAReplicaCan() {
        let test = RouteTest()
        let large = FakeReplica(test.route, settings(concurrency: 6), at: test.at(0))
        let small = FakeReplica(test.route, settings(concurrency: 2), at: test.at(0))
        for number in 0..<4 { test.call("\(number)", at: 0) }
        #expect(large.calls().count == 3)
        #expect(small.calls().count == 1)
        for number in 4..<8 { test.call("\(number)", at: 0) }
        #expect(large.calls().count == 3)
        #expect(small.calls().count == 1)
        test.call("waits", at: 0)
        #expect(test.route.load == RouteLoad(inFlight: 8, waiting: 1, replicas: 2, capacity: 8, lastActive: test.at(0)))
    }

    @Test func thousandCallsAtOnceHaveTheirPlaces() {
        let test = RouteTest(settings(concurrency: 1_024))
        let watcher = test.watcher()
        let calls = (0..<1_025).map { test.call("\($0)", at: 0) }
        let frames = watcher.received()
        #expect(frames.count == 1_024)
        #expect(Set(frames.map(\.id)).count == 1_024)
        #expect(test.route.load.waiting == 1)
        watcher.reply(frames.map(\.id), at: test.at(50_000))
        #expect(watcher.calls() == ["1024"])
        #expect(calls.dropLast().allSatisfy { $0.failures == [FakeCall.replied] })
    }

    @Test func anAnswerThatCameBeforeIsNotAnothersAnswer() {
        let test = RouteTest()
        let watcher = test.watcher()
        test.call("one", at: 0)
        let first = watcher.received().map(\.id)
        watcher.reply(first, at: test.at(5_000))
        let second = test.call("two", at: 6_000)
        watcher.reply(first, at: test.at(7_000))
        #expect(second.failures.isEmpty)
        #expect(test.route.load.inFlight == 1)
    }

    @Test func aFullQueueRefusesAtOnceWithPushback() {
        let test = RouteTest(settings(queueBound: 2))
        let watcher = test.watcher()
        let calls = (0..<4).map { test.call("\($0)", at: 0) }
        #expect(calls[3].failure == .queueFull("f", bound: 2))
        #expect(calls[3].failure?.retryPushbackMillis != nil)
        #expect(watcher.calls() == ["0"])
    }

    // MARK: Calls that were sent ahead

    @Test func noCallWaitsBehindASlowOneWhileAnotherReplicaIdles() {
        let test = RouteTest(settings(queueBound: 3))
        let slow = test.watcher()
        test.warm(slow, at: 0)
        let calls = (0..<6).map { test.call("\($0)", at: 10) }
        let ids = slow.received().map(\.id)
        #expect(ids.count == 6)
        let other = test.watcher(at: 20)

        test.sweep(at: 1_900)
        #expect(slow.received().isEmpty)
        test.sweep(at: 2_100)
        #expect(slow.received().map(\.kind) == [.recall])
        test.sweep(at: 7_000)
        #expect(slow.received().isEmpty, "one that is not answered yet is not repeated")

        // More calls come back than the queue's bound allows, and none is refused.
        slow.giveBack(Array(ids[1...].reversed()), at: test.at(7_100))
        let first = other.received()
        #expect(first.map(\.payload) == ["1"])
        #expect(test.route.load.waiting == 4)
        #expect(test.queuedBytes.count == 4)
        // The fast replica gets the waiting calls in their order, and the slow one gets none.
        other.reply(first.map(\.id), at: test.at(7_105))
        #expect(other.calls() == ["2", "3", "4", "5"])
        #expect(slow.received().isEmpty)
        #expect(calls[0].failures.isEmpty)
        #expect(test.queuedBytes.count == 0)

        // Then the slow replica works again, and gets one call at a time.
        slow.reply([ids[0]], at: test.at(500_000))
        #expect(calls[0].failures == [FakeCall.replied])
        #expect(slow.slots.window.size(at: test.at(500_000)) == 1)
    }

    @Test func theWatchersWordBringsCallsBack() throws {
        let test = RouteTest()
        let slow = test.watcher()
        test.warm(slow, at: 0)
        for number in 0..<3 { test.call("\(number)", at: 10) }
        let ids = slow.received().map(\.id)
        let other = test.watcher(at: 20)
        slow.giveBack(Array(ids[1...]))
        #expect(other.calls() == ["1"])
        // The slow replica was not recalled and has room as well.
        #expect(test.route.load.inFlight + test.route.load.waiting == 3)
    }

    @Test func whatNobodyWaitsForIsNotSentAgain() {
        let test = RouteTest()
        let slow = test.watcher()
        test.warm(slow, at: 0)
        test.call("runs", at: 10)
        let left = test.call("left", at: 10)
        let late = test.call("late", at: 10, timeout: 5_000)
        let kept = test.call("kept", at: 10)
        let ids = slow.received().map(\.id)
        test.sweep(at: 4_000)
        left.leave()
        slow.giveBack(Array(ids[1...]), at: test.at(6_000))
        #expect(left.failures == [.cancelled(executed: .maybe)])
        #expect(test.route.load.waiting == 2)
        let other = test.watcher(at: 6_000)
        #expect(other.calls() == ["kept"])
        #expect(late.failures == [.deadlinePassed(executed: .no)])
        #expect(kept.failures.isEmpty)
        #expect(test.queuedBytes.count == 0)
    }

    @Test func severalAtOnceAreRecalledOnlyBeyondThat() {
        let test = RouteTest(settings(concurrency: 4))
        let watcher = test.watcher()
        for number in 0..<4 { test.call("\(number)", at: 0) }
        test.sweep(at: 100_000)
        #expect(watcher.received().allSatisfy { $0.kind == .call })
    }

    @Test func aStreamsPlaceIsItsOwnUntilItsEnd() {
        let test = RouteTest()
        let watcher = test.watcher()
        test.call("stream", at: 0)
        let id = watcher.received()[0].id
        #expect(test.route.invocation(id, of: watcher.slots) != nil)
        test.call("next", at: 1_000_000)
        #expect(test.route.load.waiting == 1)
        // The call lasts as long as the stream: nothing is sent ahead of the next call.
        watcher.reply([id], at: test.at(2_000_000))
        #expect(test.route.invocation(id, of: watcher.slots) == nil)
        test.call("third", at: 2_000_001)
        #expect(watcher.calls() == ["next"])
    }

    // MARK: Replicas that are stuck

    private let grace = Duration.seconds(1)

    @Test func aCallBeyondTimeoutCallClosesTheReplica() {
        let test = RouteTest(settings(concurrency: 2, callTimeout: .seconds(1)))
        let watcher = test.watcher()
        let stuck = test.call("stuck", at: 0)
        let live = test.call("live", at: 1_050_000)
        _ = watcher.received()

        #expect(test.sweep(at: 1_051_000).overruns.isEmpty)
        #expect(stuck.failures == [.deadlinePassed(executed: .maybe)])
        #expect(watcher.received().map(\.kind) == [.cancel])
        #expect(test.sweep(at: 1_099_000).overruns.isEmpty)
        #expect(watcher.slots.isOpen)

        let found = test.sweep(at: 1_100_000).overruns
        #expect(found.map(\.isNew) == [true])
        #expect(found.map(\.liveCalls) == [1])
        #expect(!watcher.slots.isOpen)
        test.call("waits", at: 1_100_500)
        #expect(test.route.load.waiting == 1)
        let replacement = test.watcher(at: 1_200_000)
        #expect(replacement.calls() == ["waits"])

        // Not while the caller of the other call waits.
        #expect(test.sweep(at: 2_040_000).overruns.map { $0.mustEnd(grace: grace) } == [false])
        #expect(test.sweep(at: 2_060_000).overruns.map { $0.mustEnd(grace: grace) } == [true])
        #expect(live.failures == [.deadlinePassed(executed: .maybe)])
    }

    @Test func aStuckReplicaAloneEndsAfterTheGrace() {
        let test = RouteTest(settings(callTimeout: .milliseconds(10)))
        let watcher = test.watcher()
        test.call("stuck", at: 0)
        #expect(test.sweep(at: 110_000).overruns.map { $0.mustEnd(grace: grace) } == [false])
        #expect(test.sweep(at: 1_009_000).overruns.map { $0.mustEnd(grace: grace) } == [false])
        let end = test.sweep(at: 1_010_000).overruns
        #expect(end.map { $0.mustEnd(grace: grace) } == [true])
        watcher.detach()
        test.expectEmpty()
    }

    /// The caller is answered, the call keeps its place, and the replica stays open.
    @Test func aCallersOwnDeadlineOrItsLeavingClosesNoReplica() {
        let test = RouteTest(settings(concurrency: 2, callTimeout: .seconds(1)))
        let watcher = test.watcher()
        let impatient = test.call("impatient", at: 0, timeout: 10_000)
        let left = test.call("left", at: 0)
        test.sweep(at: 5_000)
        left.leave()
        test.sweep(at: 11_000)
        #expect(impatient.failures == [.deadlinePassed(executed: .maybe)])
        for moment in [120_000, 500_000, 1_099_000] as [Int64] {
            #expect(test.sweep(at: moment).overruns.isEmpty)
            #expect(watcher.slots.isOpen)
            #expect(test.route.load.inFlight == 2)
        }
        #expect(test.sweep(at: 1_100_000).overruns.map(\.isNew) == [true])
        #expect(!watcher.slots.isOpen)
    }

    @Test func timeInTheQueueIsNotTheHandlers() {
        let test = RouteTest(settings(callTimeout: .seconds(1)))
        let watcher = test.watcher()
        test.call("first", at: 0)
        let second = test.call("second", at: 0)
        watcher.reply(watcher.received().map(\.id), at: test.at(900_000))
        #expect(watcher.calls() == ["second"])
        #expect(test.sweep(at: 1_500_000).overruns.isEmpty)
        #expect(second.failures == [.deadlinePassed(executed: .maybe)])
        #expect(watcher.slots.isOpen)
        #expect(test.sweep(at: 2_000_000).overruns.map(\.isNew) == [true])
    }

    @Test func whatWasSentAheadNeitherClosesAReplicaNorKeepsItAlive() {
        let test = RouteTest(settings(callTimeout: .milliseconds(500)))
        let watcher = test.watcher()
        test.warm(watcher, at: 0)
        test.call("runs", at: 10)
        test.call("short", at: 10, timeout: 1_000)
        test.call("long", at: 400_000)
        #expect(watcher.calls() == ["runs", "short"])
        #expect(test.sweep(at: 200_000).overruns.isEmpty)
        #expect(watcher.slots.isOpen)
        let found = test.sweep(at: 600_010).overruns
        #expect(found.map(\.isNew) == [true])
        #expect(found.map(\.liveCalls) == [0])
    }

    @Test func whatWasSentAheadCountsFromItsBeginning() {
        let test = RouteTest(settings(callTimeout: .milliseconds(500)))
        let watcher = test.watcher()
        test.warm(watcher, at: 0)
        test.call("runs", at: 10)
        test.call("ahead", at: 10)
        let ids = watcher.received().map(\.id)
        #expect(ids.count == 2)
        test.sweep(at: 400_000)
        watcher.reply([ids[0]], at: test.at(450_000))
        test.sweep(at: 455_000)
        #expect(test.sweep(at: 700_000).overruns.isEmpty)
        #expect(watcher.slots.isOpen)
        #expect(test.sweep(at: 1_055_000).overruns.map(\.isNew) == [true])
    }

    // MARK: From one route to another

    @Test func whatWaitsMovesInItsOrder() {
        let test = RouteTest()
        let old = test.watcher()
        let running = test.call("running", at: 0)
        let calls = (1...3).map { test.call("\($0)", at: Int64($0)) }
        test.sweep(at: 5)

        let next = FunctionRoute(name: "f", settings: test.settings, context: test.route.context)
        let new = FakeReplica(next, settings(concurrency: 2), at: test.at(0))
        test.route.move(waitingTo: next, at: test.at(5))
        #expect(new.calls() == ["1", "2"])
        #expect(next.load.waiting == 1)
        #expect(test.route.load.waiting == 0)

        // A call that comes a moment too late goes there as well, and so does the news that its caller has left.
        test.call("4", at: 10)
        #expect(next.load.waiting == 2)
        calls[2].leave()
        #expect(calls[2].failures == [.cancelled(executed: .no)])
        #expect(next.load.waiting == 1)

        old.reply(old.received().map(\.id), at: test.at(20))
        #expect(running.failures == [FakeCall.replied])
        #expect(old.received().isEmpty)
        test.expectEmptyBut(waiting: 1)
    }

    @Test func whatAnOldReplicaGivesBackGoesToTheNewRoute() {
        let test = RouteTest()
        let old = test.watcher()
        test.warm(old, at: 0)
        test.call("runs", at: 10)
        test.call("ahead", at: 10)
        let ids = old.received().map(\.id)
        let next = FunctionRoute(name: "f", settings: test.settings, context: test.route.context)
        let new = FakeReplica(next, test.settings, at: test.at(0))
        test.route.move(waitingTo: next, at: test.at(20))
        test.route.retire(old.slots) {}
        test.sweep(at: 3_000)
        #expect(old.received().map(\.kind) == [.recall])
        old.giveBack([ids[1]], at: test.at(3_100))
        #expect(new.calls() == ["ahead"])

        // Then the calls move back.
        next.move(waitingTo: test.route)
        test.call("later", at: 4_000)
        #expect(test.route.load.waiting == 1)
    }

    // MARK: Without a replica

    @Test func theReasonMayBeAskedForAnyNumberOfTimes() {
        let test = RouteTest()
        test.route.explain { "bad weights" }
        var answers = 0
        for _ in 0..<300_000 where test.route.missingReplicaReason == "bad weights" { answers += 1 }
        #expect(answers == 300_000)
    }

    @Test func whoseTimeIsUpIsToldWhyNobodyAnswered() {
        let test = RouteTest()
        test.route.explain { "bad weights; next try in 3 s" }
        let waits = test.call("waits", at: 0, timeout: 10_000)
        test.sweep(at: 10_000)
        #expect(waits.failures == [.deadlinePassed(executed: .no, because: "bad weights; next try in 3 s")])
        // The reason is given only while no replica is there.
        let watcher = test.watcher(at: 20_000)
        test.call("runs", at: 20_000)
        let late = test.call("late", at: 20_000, timeout: 10_000)
        test.sweep(at: 30_000)
        #expect(late.failures == [.deadlinePassed(executed: .no)])
        watcher.detach()
        test.expectEmpty()
    }

    @Test func aFailedFunctionRefusesAtOnceUntilAReplicaComes() {
        let test = RouteTest()
        let waits = test.call("waits", at: 0)
        test.route.fail(reason: "its config is not YAML")
        let refused = test.call("refused", at: 1)
        #expect(
            (waits.failures + refused.failures).allSatisfy {
                $0 == .functionFailed("f", reason: "its config is not YAML")
            })
        #expect(waits.failures.count == 1 && refused.failures.count == 1)
        let watcher = test.watcher(at: 2)
        test.call("runs", at: 3)
        #expect(watcher.calls() == ["runs"])
    }

    // MARK: Replicas that come and go

    @Test func aColdFunctionIsToldOnce() {
        let test = RouteTest()
        let told = Counter()
        test.route.onWaiting { told.add() }
        for number in 0..<500 { test.call("\(number)", at: 0) }
        #expect(told.count == 1)
        let watcher = test.watcher(at: 100)
        #expect(told.count == 1)
        #expect(watcher.calls() == ["0"])
        watcher.detach()
        #expect(told.count == 2)
        test.sweep(at: 10_000)
        #expect(told.count == 2)
    }

    @Test func aRetiredReplicaIsIdleOnceItHasNoCalls() {
        let test = RouteTest()
        let watcher = test.watcher()
        let idle = Counter()
        test.call("one", at: 0)
        test.route.retire(watcher.slots) { idle.add() }
        #expect(idle.count == 0)
        watcher.reply(watcher.received().map(\.id), at: test.at(10))
        #expect(idle.count == 1)
        test.call("two", at: 20)
        #expect(watcher.received().isEmpty)
    }

    @Test func aReplicaThatDiesTakesOnlyItsOwnCallsAlong() {
        let test = RouteTest()
        let first = test.watcher()
        let second = test.watcher()
        let calls = (0..<3).map { test.call("\($0)", at: 0) }
        first.detach()
        let failed = calls.filter { !$0.failures.isEmpty }
        #expect(failed.map(\.failure?.code) == [.unavailable])
        second.reply(second.received().map(\.id), at: test.at(50_000))
        #expect(second.calls() == ["2"])
    }

    // MARK: The sweeper's list

    @Test func onlyRoutesWithCallsAreLookedAt() {
        let test = RouteTest()
        var routes: [FunctionRoute] = []
        test.busy.takeArrivals(into: &routes)
        #expect(routes.isEmpty)
        let watcher = test.watcher()
        test.call("one", at: 0)
        test.call("two", at: 0)
        test.busy.takeArrivals(into: &routes)
        #expect(routes.count == 1)
        #expect(test.sweep(at: 10).isBusy)
        for moment in [20, 30] { watcher.reply(watcher.received().map(\.id), at: test.at(Int64(moment))) }
        #expect(!test.sweep(at: 40).isBusy)
        routes = []
        test.call("three", at: 50)
        test.busy.takeArrivals(into: &routes)
        #expect(routes.count == 1)
    }

    // MARK: Cancelled calls

    @Test func tenThousandCancelledCallsLeaveNothingBehind() {
        let test = RouteTest(settings(concurrency: 4))
        var watchers = (0..<2).map { _ in (watcher: test.watcher(), ids: [UInt64](), inputs: [UInt64: String]()) }
        var random = Random(state: 42)
        var now: Int64 = 0
        var open: [FakeCall] = []
        var invocations: [Invocation] = []
        var started: [String: Int] = [:]
        var cancelled: Set<String> = []

        /// The messages that have come to a replica since the last call of this.
        func receive(_ index: Int) {
            for frame in watchers[index].watcher.received() where frame.kind == .call {
                started[frame.payload, default: 0] += 1
                watchers[index].ids.append(frame.id)
                watchers[index].inputs[frame.id] = frame.payload
            }
        }

        for number in 0..<10_000 {
            now += Int64(random.next() % 300)
            let call = FakeCall()
            let invocation = call.invocation("\(number)", of: test.route, at: test.at(now))
            test.route.admit(invocation)
            open.append(call)
            invocations.append(invocation)
            // One caller leaves. Its call may be new or old; it may wait, run or be answered.
            let victim = invocations[Int(random.next() % UInt64(invocations.count))]
            if test.route.state.withLock({ _ in victim.isQueued }) {
                cancelled.insert(String(decoding: bytes(victim), as: UTF8.self))
            }
            test.route.callerLeft(victim)
            if number % 7 == 0 { test.sweep(at: now) }
            let index = Int(random.next() % 2)
            receive(index)
            let some = watchers[index].ids.prefix(Int(random.next() % 2))
            watchers[index].ids.removeFirst(some.count)
            if number % 11 == 0, let last = watchers[index].ids.popLast() {
                started[watchers[index].inputs[last] ?? "", default: 0] -= 1
                watchers[index].watcher.giveBack([last], at: test.at(now))
            }
            watchers[index].watcher.reply(Array(some), at: test.at(now))
            if number % 50 == 0 {
                for invocation in invocations { test.route.callerLeft(invocation) }
                invocations = []
            }
        }
        while test.route.isBusy {
            now += 100
            for index in watchers.indices {
                receive(index)
                watchers[index].watcher.reply(watchers[index].ids, at: test.at(now))
                watchers[index].ids = []
            }
        }
        test.sweep(at: now)
        test.expectEmpty()
        #expect(open.allSatisfy { $0.failures.count == 1 })
        #expect(started.values.allSatisfy { $0 <= 1 })
        #expect(cancelled.count > 1_000)
        #expect(cancelled.allSatisfy { started[$0] ?? 0 == 0 })
        // All places are free for the next calls.
        for number in 0..<8 { test.call("\(number)", at: now + 10_000_000) }
        #expect(watchers.map { $0.watcher.calls().count } == [4, 4])
    }

    private func bytes(_ invocation: Invocation) -> [UInt8] {
        var bytes: [UInt8] = []
        invocation.input.forEachPiece { piece in
            bytes += piece
            return true
        }
        return bytes
    }
}

/// Numbers that are the same in each run.
private struct Random {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state >> 33
    }
}
