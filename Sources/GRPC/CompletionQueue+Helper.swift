internal import Glibc
internal import Synchronization

extension CompletionQueue {
    /// When the thread that helps to drain a queue works, and when it rests.
    final class Helper: @unchecked Sendable {
        // @unchecked: the semaphore may be used from any thread; `idleEvents` is the helping thread's own.

        /// After so many events in a row that one thread could have taken, it rests.
        private static let idleEventsMax = 64

        private let isNeeded: @Sendable () -> Bool
        private let isResting = Atomic<Bool>(true)
        private let isStopping = Atomic<Bool>(false)
        private let wake: UnsafeMutablePointer<sem_t>
        private var idleEvents = 0

        init(isNeeded: @escaping @Sendable () -> Bool) {
            self.isNeeded = isNeeded
            wake = .allocate(capacity: 1)
            sem_init(wake, 0, 0)
        }

        deinit {
            sem_destroy(wake)
            wake.deallocate()
        }

        /// On the queue's other threads.
        @inline(__always)
        func wakeIfNeeded() {
            guard isResting.load(ordering: .relaxed), isNeeded() else { return }
            getUp()
        }

        /// For good.
        func stop() {
            isStopping.store(true, ordering: .sequentiallyConsistent)
            getUp()
        }

        private func getUp() {
            if isResting.exchange(false, ordering: .acquiringAndReleasing) { sem_post(wake) }
        }

        /// On the helping thread.
        @inline(__always)
        func restUnlessNeeded() {
            guard !isNeeded() else {
                idleEvents = 0
                return
            }
            idleEvents += 1
            guard idleEvents >= Self.idleEventsMax else { return }
            idleEvents = 0
            isResting.store(true, ordering: .sequentiallyConsistent)
            rest()
        }

        /// Until it is woken.
        func rest() {
            // Stopped in between: whoever stops may have seen it at work, and so not posted.
            if isStopping.load(ordering: .sequentiallyConsistent) { return isResting.store(false, ordering: .relaxed) }
            while sem_wait(wake) != 0 {}
        }
    }
}
