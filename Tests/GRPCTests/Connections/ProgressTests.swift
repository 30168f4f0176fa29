@testable import GRPC
import Platform
import Testing

@Suite struct ProgressTests {
    private func moment(_ seconds: Int) -> MonotonicTime { MonotonicTime(nanoseconds: Int64(seconds) * 1_000_000_000) }

    @Test func whoHoldsSomethingAndDoesNotGoOnIsStalledAfterItsTime() {
        var progress = Progress()
        for second in 0..<10 {
            expect(progress.isStalled(holding: 1_000, at: moment(second), limit: .seconds(10)), false)
            // Too little.
            progress.bytes += 1
        }
        expect(progress.isStalled(holding: 1_000, at: moment(10), limit: .seconds(10)), true)
    }

    @Test func whoGoesOnOrHoldsNothingHasAllTheTime() {
        var going = Progress()
        var empty = Progress()
        for second in 0..<100 {
            expect(going.isStalled(holding: 1_000, at: moment(second), limit: .seconds(10)), false)
            expect(empty.isStalled(holding: 0, at: moment(second), limit: .seconds(10)), false)
            going.bytes += 10
        }
    }
}
