internal import CLinux

/// Measures how busy the calling thread is: for which share of the time it had a processor. A value, used on one thread.
///
/// A thread that is ready and waits for a processor is not busy in this sense: another thread would wait as well.
package struct ThreadLoad {
    /// How many turns pass between two looks at the clock.
    private static let turnsPerLook = 16

    private let bounds: LoadBounds
    private var turns = 0
    /// When the current window began.
    private var began = MonotonicTime.now
    /// The thread's processor time then, in nanoseconds.
    private var spent = dcf_thread_nanoseconds()

    /// Begins the first window. Call it on the thread.
    package init(_ bounds: LoadBounds) {
        self.bounds = bounds
    }

    /// Notes that the thread has done a piece of work.
    ///
    /// - Returns: the share of the window that has just ended, from 0 to 1; nil while it goes on, which is nearly always.
    @inline(__always)
    package mutating func noteTurn() -> Double? {
        turns += 1
        return turns < Self.turnsPerLook ? nil : look()
    }

    private mutating func look() -> Double? {
        turns = 0
        let now = MonotonicTime.now
        let passed = now.nanoseconds(since: began)
        guard passed >= bounds.window.nanosecondsClamped else { return nil }
        let time = dcf_thread_nanoseconds()
        defer { (began, spent) = (now, time) }
        return min(Double(time - spent) / Double(max(passed, 1)), 1)
    }
}

/// From which load on threads share their work with more threads, and up to which load they take it back. A value.
package struct LoadBounds: Sendable {
    /// A thread that has a processor for this share of its time needs help.
    package var busy: Double
    /// A thread that helps and has a processor for at most this share of its time is not needed.
    package var idle: Double
    /// The least time over which the share is measured.
    package var window: Duration

    package init(busy: Double = 0.75, idle: Double = 0.1, window: Duration = .milliseconds(10)) {
        self.busy = busy
        self.idle = idle
        self.window = window
    }

    /// How many threads may share one kind of work at the most: half of the processors, since as much is left to the
    /// handlers, and never more than 16. With two processors that is one thread.
    package static let threadsMax = min(max(Processors.count / 2, 1), 16)
}
