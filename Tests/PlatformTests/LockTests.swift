import Platform
import Testing

@Suite struct LockTests {
    private final class Counter: Sendable {
        let count = Lock(0)
    }

    @Test func itGuardsItsValue() async {
        let counter = Counter()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask { for _ in 0..<1_000 { counter.count.withLock { $0 += 1 } } }
            }
        }
        let count = counter.count.withLock { $0 }
        #expect(count == 8_000)
    }

    @Test func whatIsThrownLeavesItFree() {
        struct Thrown: Error {}
        let lock = Lock(1)
        do throws(Thrown) {
            try lock.withLock { value throws(Thrown) -> Void in
                value = 2
                throw Thrown()
            }
            Issue.record("nothing was thrown")
        } catch {}
        let value = lock.withLock { $0 }
        #expect(value == 2)
        assertNoLockIsHeld()
    }

    @Test func inTheirOrderSeveralMayBeHeld() {
        let set = Lock(1, .replicaSet)
        let replica = Lock(2, .replica)
        let leaf = Lock(3)
        let sum = set.withLock { first in replica.withLock { second in leaf.withLock { first + second + $0 } } }
        #expect(sum == 6)
        assertNoLockIsHeld()
    }

    #if DEBUG
        @Test func theWrongOrderTraps() async {
            await #expect(processExitsWith: .failure) {
                let set = Lock(1, .replicaSet)
                let replica = Lock(2, .replica)
                replica.withLock { _ in set.withLock { _ in } }
            }
        }

        @Test func twoLeavesTrap() async {
            await #expect(processExitsWith: .failure) {
                let one = Lock(1)
                let other = Lock(2)
                one.withLock { _ in other.withLock { _ in } }
            }
        }

        @Test func theSameLockTwiceTraps() async {
            await #expect(processExitsWith: .failure) {
                let lock = Lock(1)
                lock.withLock { _ in lock.withLock { _ in } }
            }
        }

        @Test func somethingForeignUnderALockTraps() async {
            await #expect(processExitsWith: .failure) {
                Lock(1).withLock { _ in assertNoLockIsHeld() }
            }
        }
    #endif
}
