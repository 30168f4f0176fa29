import Calls
import Platform
import Testing

@Suite struct ReplicaWindowTests {
    private func at(_ microseconds: Int64) -> MonotonicTime { MonotonicTime(nanoseconds: microseconds * 1000) }

    @Test func nothingIsKnownBeforeTheFirstAnswer() {
        var window = ReplicaWindow()
        window.sent(inFlight: 0, at: at(0))
        #expect(window.size(at: at(1)) == 1)
    }

    @Test(arguments: [(5, 64), (100, 11), (500, 3), (1000, 2), (1001, 1), (5000, 1)])
    func aboutAMillisecondOfWorkIsSentAhead(micros: Int64, size: Int) {
        var window = ReplicaWindow()
        window.sent(inFlight: 0, at: at(0))
        window.answered(1, of: 1, at: at(micros))
        #expect(window.size(at: at(micros)) == size)
    }

    @Test func aCallThatLastsStopsWhatIsSentAhead() {
        var window = ReplicaWindow()
        window.sent(inFlight: 0, at: at(0))
        window.answered(1, of: 1, at: at(5))
        window.sent(inFlight: 0, at: at(10))
        #expect(window.size(at: at(900)) == 64)
        #expect(window.size(at: at(1100)) == 1)
    }

    @Test func slownessIsSeenFasterThanSpeed() {
        var window = ReplicaWindow()
        window.sent(inFlight: 0, at: at(0))
        window.answered(1, of: 2, at: at(10))
        window.answered(1, of: 2, at: at(10_010))
        #expect(window.size(at: at(10_010)) == 1)
        window.answered(1, of: 2, at: at(10_020))
        #expect(window.size(at: at(10_020)) == 1)
    }

    @Test func concurrencyIsTheLeast() {
        var window = ReplicaWindow(concurrency: 4)
        #expect(window.size(at: at(0)) == 4)
        window.sent(inFlight: 0, at: at(0))
        window.answered(1, of: 1, at: at(1_000_000))
        #expect(window.size(at: at(1_000_000)) == 4)
    }

    /// Eight calls run at a time, and each takes a while: answers may follow one another fast although each call is
    /// slow.
    @Test(arguments: [(100, 63), (1_000, 8), (1_001, 0), (8_000, 0)])
    func withConcurrencyTheTimeOfOneCallCounts(micros: Int64, ahead: Int) {
        var window = ReplicaWindow(concurrency: 8)
        for index in 0..<8 { window.sent(inFlight: index, at: at(0)) }
        window.answered(8, of: 8, at: at(micros))
        #expect(window.size(at: at(micros)) == 8 + ahead)
    }

    @Test func callsThatOverlapAreNotTakenForSlower() {
        var window = ReplicaWindow(concurrency: 8)
        window.sent(inFlight: 0, at: at(0))
        // 400 us alone, then 200 us together; then 200 us alone.
        window.sent(inFlight: 1, at: at(400))
        window.answered(1, of: 2, at: at(600))
        // One answer stands for 800 us of work; the rest belongs to the second call.
        window.answered(1, of: 1, at: at(800))
        #expect(window.size(at: at(800)) == 8 + 11)
    }

    @Test func whatWasSentAheadOfASlowCallIsAskedForOnce() {
        var window = ReplicaWindow()
        window.sent(inFlight: 0, at: at(0))
        window.answered(1, of: 1, at: at(5))
        for index in 0..<10 { window.sent(inFlight: index, at: at(10)) }
        let early = window.recall(inFlight: 10, at: at(2_000))
        #expect(!early)
        let first = window.recall(inFlight: 10, at: at(2_100))
        #expect(first)
        let again = window.recall(inFlight: 10, at: at(9_000))
        #expect(!again)
        #expect(window.size(at: at(9_000)) == 1)
        window.answered(1, of: 1, at: at(10_000))
        #expect(!window.isRecalled)
    }

    @Test func aBriefHandlerGetsCallsAheadWhateverItsProcessTakes() {
        var window = ReplicaWindow()
        window.note(pace: 25_001)
        #expect(!window.isBrief)
        #expect(window.size(at: at(0)) == 1)
        window.note(pace: 25_000)
        #expect(window.isBrief)
        window.sent(inFlight: 0, at: at(0))
        // Its process came late to the processor.
        window.answered(1, of: 1, at: at(5_000))
        #expect(window.size(at: at(5_000)) == 1 + 20)
        #expect(window.isWorthJoining(inFlight: 19))
        #expect(!window.isWorthJoining(inFlight: 20))
        #expect(window.size(at: at(6_001)) == 1, "it has not answered for a while")
        window.note(pace: 0)
        #expect(window.size(at: at(5_000)) == 64)
    }

    @Test func whatRunsIsNotAskedFor() {
        var window = ReplicaWindow(concurrency: 4)
        for index in 0..<4 { window.sent(inFlight: index, at: at(0)) }
        let isRecalled = window.recall(inFlight: 4, at: at(1_000_000))
        #expect(!isRecalled)
    }
}
