internal import CLinux

/// A moment on the monotonic clock, in nanoseconds. It suits the hot path: one call into the vDSO, no allocation.
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

    package static func < (left: MonotonicTime, right: MonotonicTime) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// The moment `duration` later; `never` where that is beyond the clock.
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
    /// The duration in nanoseconds, limited to the range of 64 bits.
    package var nanosecondsClamped: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        return scaled &+ attoseconds / 1_000_000_000
    }
}
