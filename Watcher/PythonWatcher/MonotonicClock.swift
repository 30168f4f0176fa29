import CLinux
import Glibc

/// The clock of Python's `time.monotonic`.
enum MonotonicClock {
    /// Nanoseconds since a fixed time before the process began.
    static func nowNanos() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
