import GRPC
import Gateway
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
        window.answered(1, at: at(micros))
        #expect(window.size(at: at(micros)) == size)
    }

    @Test func aCallThatLastsStopsWhatIsSentAhead() {
        var window = ReplicaWindow()
        window.sent(inFlight: 0, at: at(0))
        window.answered(1, at: at(5))
        window.sent(inFlight: 0, at: at(10))
        #expect(window.size(at: at(900)) == 64)
        #expect(window.size(at: at(1100)) == 1)
    }

    @Test func slownessIsSeenFasterThanSpeed() {
        var window = ReplicaWindow()
        window.sent(inFlight: 0, at: at(0))
        window.answered(1, at: at(10))
        window.answered(1, at: at(10_010))
        #expect(window.size(at: at(10_010)) == 1)
        window.answered(1, at: at(10_020))
        #expect(window.size(at: at(10_020)) == 1)
    }

    @Test func concurrencyIsTheLeast() {
        var window = ReplicaWindow(concurrency: 4)
        #expect(window.size(at: at(0)) == 4)
        window.sent(inFlight: 0, at: at(0))
        window.answered(1, at: at(1_000_000))
        #expect(window.size(at: at(1_000_000)) == 4)
    }
}
