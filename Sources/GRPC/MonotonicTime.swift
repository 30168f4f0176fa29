internal import CGRPC
internal import CLinux

/// A moment on the monotonic clock, in nanoseconds. The hot path's clock: one call into the vDSO, no allocation.
package struct MonotonicTime: Comparable, Sendable {
    package var nanoseconds: Int64

    package init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    /// A moment that never comes.
    package static let never = MonotonicTime(nanoseconds: .max)

    package static var now: MonotonicTime {
        MonotonicTime(nanoseconds: dcf_monotonic_nanoseconds())
    }

    /// A deadline as the core gives it.
    init(core deadline: gpr_timespec) {
        let infinite = gpr_inf_future(deadline.clock_type)
        guard gpr_time_cmp(deadline, infinite) < 0 else {
            self = .never
            return
        }
        let monotonic = gpr_convert_clock_type(deadline, GPR_CLOCK_MONOTONIC)
        // Before year 1 or beyond year 290: far enough to stay within 64 bits of nanoseconds.
        let seconds = min(max(monotonic.tv_sec, -9_000_000_000), 9_000_000_000)
        let corrected = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        nanoseconds = corrected.overflow ? .max : corrected.partialValue &+ Int64(monotonic.tv_nsec)
    }

    package static func < (left: MonotonicTime, right: MonotonicTime) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// The moment `duration` later; `never` when that is beyond the clock.
    package func advanced(by duration: Duration) -> MonotonicTime {
        let (sum, overflow) = nanoseconds.addingReportingOverflow(duration.nanosecondsClamped)
        return overflow ? .never : MonotonicTime(nanoseconds: sum)
    }

    /// Nanoseconds from `earlier` to this moment.
    package func nanoseconds(since earlier: MonotonicTime) -> Int64 {
        nanoseconds &- earlier.nanoseconds
    }
}

extension Duration {
    /// The duration in nanoseconds, held to what 64 bits can say.
    package var nanosecondsClamped: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        return scaled &+ attoseconds / 1_000_000_000
    }
}
