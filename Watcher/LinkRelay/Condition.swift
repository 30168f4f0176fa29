import Glibc

/// A mutex, and a condition variable on the monotonic clock that threads wait for under it.
///
/// Sendable: both pointers are set in `init` and never change, and pthread's functions may be called from any thread.
final class Condition: @unchecked Sendable {
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
        pthread_mutex_init(lock, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(changed, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(lock)
        changed.deallocate()
        lock.deallocate()
    }

    func withLock<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return body()
    }

    // MARK: Under the lock

    func wait() {
        pthread_cond_wait(changed, lock)
    }

    /// - Parameter end: nanoseconds on the monotonic clock.
    /// - Returns: false when the time is up.
    func wait(untilNanos end: Int64) -> Bool {
        var time = timespec(tv_sec: Int(end / 1_000_000_000), tv_nsec: Int(end % 1_000_000_000))
        return pthread_cond_timedwait(changed, lock, &time) != ETIMEDOUT
    }

    func announce() {
        pthread_cond_broadcast(changed)
    }
}
