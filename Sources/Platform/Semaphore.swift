internal import Glibc

/// A semaphore for threads. Any thread may post and wait.
package final class Semaphore: @unchecked Sendable {
    // @unchecked: the pointer is constant, and the C library's semaphore may be used from any thread.
    private let semaphore: UnsafeMutablePointer<sem_t>

    package init() {
        semaphore = .allocate(capacity: 1)
        sem_init(semaphore, 0, 0)
    }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    /// Adds one, which lets one thread go on.
    package func post() {
        sem_post(semaphore)
    }

    /// Waits until the count is above 0, and takes one from it.
    package func wait() {
        while sem_wait(semaphore) != 0 {}
    }

    /// Waits at most for `limit`.
    ///
    /// - Returns: whether the semaphore was posted in this time.
    package func wait(atMost limit: Duration) -> Bool {
        var end = timespec()
        clock_gettime(CLOCK_REALTIME, &end)
        let nanoseconds = Int64(end.tv_nsec) + max(limit.components.attoseconds / 1_000_000_000, 0)
        end.tv_sec += Int(limit.components.seconds) + Int(nanoseconds / 1_000_000_000)
        end.tv_nsec = Int(nanoseconds % 1_000_000_000)
        while sem_timedwait(semaphore, &end) != 0 {
            if errno != EINTR { return false }
        }
        return true
    }
}
