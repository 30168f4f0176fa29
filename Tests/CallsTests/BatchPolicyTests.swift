import FunctionConfig
import Calls
import Platform
import Testing

@Suite struct BatchPolicyTests {
    private func at(_ milliseconds: Int64) -> MonotonicTime { MonotonicTime(nanoseconds: milliseconds * 1_000_000) }

    private func policy(_ sizeMax: Int, waitMillis: Int64) -> BatchPolicy {
        var config = BatchConfig(sizeMax: sizeMax)
        config.waitMax = .milliseconds(waitMillis)
        return BatchPolicy(config)
    }

    /// How many calls wait, how many replicas are free, and the size of the batch.
    @Test(arguments: [
        (1, 1, 1), (7, 1, 7), (8, 1, 8), (100, 1, 8), (7, 2, 4), (1, 2, 1), (16, 2, 8), (100, 2, 8), (3, 3, 1),
    ])
    func withoutAWaitABatchIsWhatIsThere(waiting: Int, free: Int, size: Int) {
        let decision = policy(8, waitMillis: 0).decide(waiting: waiting, since: at(0), freeReplicas: free, at: at(0))
        #expect(decision == .send(size))
    }

    /// How many calls wait, for how many milliseconds a replica has been free, and the size of the batch; 0 while it
    /// waits.
    @Test(arguments: [(1, 0, 0), (7, 9, 0), (7, 10, 7), (1, 11, 1), (8, 0, 8), (100, 0, 8), (100, 50, 8)])
    func belowTheLargestSizeAFreeReplicaWaits(waiting: Int, age: Int64, size: Int) {
        let decision = policy(8, waitMillis: 10).decide(
            waiting: waiting, since: at(5), freeReplicas: 2, at: at(5 + age))
        if size == 0 {
            #expect(decision == .wait(until: at(15)))
        } else {
            #expect(decision == .send(min(size, waiting)))
        }
    }

    @Test func oneByOneNeverWaits() {
        #expect(!policy(1, waitMillis: 10).mayWait)
        #expect(!policy(8, waitMillis: 0).mayWait)
        #expect(policy(8, waitMillis: 10).mayWait)
    }

    @Test func callersOfABatchAreLikelyToComeAgain() {
        let policy = policy(8, waitMillis: 10)
        #expect(policy.expectsMore(afterBatchOf: 2, answered: at(5), at: at(14)))
        #expect(!policy.expectsMore(afterBatchOf: 2, answered: at(5), at: at(15)))
        #expect(!policy.expectsMore(afterBatchOf: 1, answered: at(5), at: at(6)))
        #expect(!self.policy(8, waitMillis: 0).expectsMore(afterBatchOf: 2, answered: at(5), at: at(5)))
    }
}
