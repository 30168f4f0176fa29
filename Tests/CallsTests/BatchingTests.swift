@testable import Calls
import FunctionConfig
import Platform
import TestSupport
import Testing

@Suite struct BatchingTests {
    private func ids(_ frames: [FakeReplica.Word]) -> [UInt64] { frames.filter { $0.kind == .call }.map(\.id) }

    @Test func anIdleFunctionAnswersASingleCallAtOnce() {
        for waitMax in [Duration.zero, .seconds(1)] {
            let test = RouteTest(RouteTest.batch(8, waitMax: waitMax))
            let watcher = test.watcher()
            test.call("one", at: 0)
            #expect(watcher.received().map(\.kind) == [.call])
        }
    }

    @Test func aBatchIsWhatWaitsWhenAReplicaBecomesFree() {
        let test = RouteTest(RouteTest.batch(4))
        let watcher = test.watcher()
        let calls = (0..<7).map { test.call("\($0)", at: 0) }
        let first = watcher.received()
        #expect(first.map(\.payload) == ["0"])
        watcher.reply(ids(first), at: test.at(10))
        let second = watcher.received()
        #expect(second.map(\.kind) == [.batch, .call, .call, .call, .call])
        #expect(second.map(\.payload) == ["4", "1", "2", "3", "4"])

        // A replica is free once all its calls are answered.
        watcher.reply(Array(ids(second).prefix(3)), at: test.at(20))
        #expect(watcher.received().isEmpty)
        watcher.reply(Array(ids(second).suffix(1)), at: test.at(30))
        let third = watcher.received()
        #expect(third.map(\.payload) == ["2", "5", "6"])
        watcher.reply(ids(third), at: test.at(40))
        #expect(calls.allSatisfy { $0.failures == [FakeCall.replied] })
        test.expectEmpty()
    }

    @Test func freeReplicasShareWhatWaits() {
        let test = RouteTest(RouteTest.batch(8))
        for number in 0..<6 { test.call("\(number)", at: 0) }
        let other = FunctionRoute(name: "f", settings: test.settings, context: test.route.context)
        let watchers = (0..<2).map { _ in FakeReplica(other, test.settings, at: test.at(0)) }
        test.route.move(waitingTo: other, at: test.at(0))
        #expect(watchers.map { $0.calls() } == [["0", "1", "2"], ["3", "4", "5"]])
    }

    @Test func belowTheLargestSizeTheOldestWaitsForOthers() {
        let test = RouteTest(RouteTest.batch(4, waitMax: .milliseconds(10)))
        let watchers = (0..<2).map { _ in test.watcher() }
        test.call("0", at: 0)
        let first = watchers[0].received()
        // The other replica is free, but the function is not idle.
        test.call("1", at: 1_000)
        test.call("2", at: 2_000)
        #expect(watchers[1].received().isEmpty)
        #expect(test.busy.takeDue(at: test.at(10_999)).isEmpty)
        let due = test.busy.takeDue(at: test.at(11_000))
        #expect(due.count == 1)
        for route in due { route.dispatch(at: test.at(11_000)) }
        let second = watchers[1].received()
        #expect(second.map(\.payload) == ["2", "1", "2"])

        // When a replica gets free, it waits for the same time.
        test.call("3", at: 12_000)
        watchers[1].reply(ids(second), at: test.at(13_000))
        #expect(watchers[1].received().isEmpty)
        #expect(test.busy.takeDue(at: test.at(22_999)).isEmpty)
        for route in test.busy.takeDue(at: test.at(23_000)) { route.dispatch(at: test.at(23_000)) }
        #expect(watchers.flatMap { $0.calls() } == ["3"])
        _ = first
    }

    @Test func theCallersOfABatchAreWaitedFor() {
        let test = RouteTest(RouteTest.batch(4, waitMax: .milliseconds(10)))
        let watcher = test.watcher()
        test.call("0", at: 0)
        for number in 1...3 { test.call("\(number)", at: 1) }
        watcher.reply(ids(watcher.received()), at: test.at(1_000))
        // The first caller is back within the time: all four go together.
        test.call("4", at: 2_000)
        let second = watcher.received()
        #expect(second.map(\.payload) == ["4", "1", "2", "3", "4"])
        watcher.reply(ids(second), at: test.at(20_000))
        for number in 5...7 { test.call("\(number)", at: 20_100) }
        #expect(watcher.received().isEmpty)
        test.call("8", at: 20_200)
        let third = watcher.received()
        #expect(third.map(\.payload) == ["4", "5", "6", "7", "8"])

        // A second time the replica does not wait for callers that do not come.
        watcher.reply(ids(third), at: test.at(40_000))
        test.call("9", at: 41_000)
        for route in test.busy.takeDue(at: test.at(51_000)) { route.dispatch(at: test.at(51_000)) }
        watcher.reply(ids(watcher.received()), at: test.at(52_000))
        test.call("10", at: 52_001)
        #expect(watcher.calls() == ["10"])
    }

    @Test func aFullBatchDoesNotWait() {
        let test = RouteTest(RouteTest.batch(3, waitMax: .seconds(10)))
        let watchers = (0..<2).map { _ in test.watcher() }
        test.call("0", at: 0)
        _ = watchers[0].received()
        for number in 1...3 { test.call("\(number)", at: 1) }
        #expect(watchers[1].calls() == ["1", "2", "3"])
        #expect(test.route.load.waiting == 0)
    }

    @Test func aBatchsMembersAreNotRecalled() {
        let test = RouteTest(RouteTest.batch(4))
        let watcher = test.watcher()
        for number in 0..<4 { test.call("\(number)", at: 0) }
        watcher.reply(ids(watcher.received()), at: test.at(10))
        #expect(watcher.calls().count == 3)
        test.sweep(at: 100_000)
        #expect(watcher.received().isEmpty)
    }

    @Test func oneThatLeavesDoesNotTouchTheOthers() {
        let test = RouteTest(RouteTest.batch(4))
        let watcher = test.watcher()
        let calls = (0..<4).map { test.call("\($0)", at: 0) }
        test.sweep(at: 5_000)
        calls[1].leave()
        watcher.reply(ids(watcher.received()), at: test.at(6_000))
        let batch = watcher.received()
        #expect(batch.map(\.payload) == ["2", "2", "3"])
        test.sweep(at: 12_000)
        calls[2].leave()
        #expect(watcher.received().map(\.kind) == [.cancel])
        watcher.reply(ids(batch), at: test.at(13_000))
        #expect(calls[3].failures == [FakeCall.replied])
        #expect(calls[2].failures == [.cancelled(executed: .maybe)])
        test.expectEmpty()
    }

    /// This test uses the sweeper's thread and clock.
    @Test func theSweeperFormsTheBatchWhenTheTimeIsOver() {
        let settings = RouteTest.batch(8, waitMax: .milliseconds(200))
        let test = RouteTest(settings)
        let sweeper = Sweeper(busy: test.busy)
        sweeper.start()
        let watchers = (0..<2).map { _ in FakeReplica(test.route, settings, at: .now) }
        let calls = (0..<3).map { _ in FakeCall() }
        for (index, call) in calls.enumerated() {
            test.route.admit(call.invocation("\(index)", of: test.route, at: .now))
        }
        #expect(watchers[0].wait(for: 1).map(\.payload) == ["0"])
        #expect(watchers[1].wait(for: 3).map(\.payload) == ["2", "1", "2"])
        sweeper.stop()
    }
}
