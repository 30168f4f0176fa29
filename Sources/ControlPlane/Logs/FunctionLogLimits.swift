/// The limits of one function's log.
package struct FunctionLogLimits: Sendable, Hashable {
    /// The longest line, in bytes. A longer one is cut.
    package var lineBytes = 64 << 10
    /// A file is closed and renamed before it would grow beyond this, in bytes.
    package var fileBytes = 10_000_000
    /// How many files there are: the current one and earlier ones.
    package var files = 5
    /// The most that is kept in a second, in bytes. What comes faster is dropped.
    package var bytesPerSecond = 1 << 20
    /// The most that may wait for the disk, in bytes. What comes beyond that is dropped.
    package var queueBytes = 1 << 20
    /// The most lines that may wait for a slow follower.
    package var followerLines = 256

    package init() {}
}

extension FunctionLogLimits {
    init(_ limits: Limits) {
        self.init()
        lineBytes = limits.logLineBytes
        fileBytes = limits.logFileBytes
        files = limits.logFiles
        bytesPerSecond = limits.logRateBytes
        queueBytes = limits.logQueueBytes
    }
}

/// Decides how much may be logged: `bytesPerSecond` in a second, and as much at once after a pause.
///
/// A value. Its caller gives it the time.
struct LogRate: Sendable {
    let bytesPerSecond: Int
    private var available: Double
    private var last: Duration?

    init(bytesPerSecond: Int) {
        self.bytesPerSecond = bytesPerSecond
        available = Double(bytesPerSecond)
    }

    /// Counts the bytes if they fit in now.
    ///
    /// - Parameter now: the time since some fixed moment.
    /// - Returns: whether they fit in.
    mutating func admit(_ bytes: Int, now: Duration) -> Bool {
        if let last {
            let passed = now - last
            available = min(Double(bytesPerSecond), available + max(0, passed / .seconds(1)) * Double(bytesPerSecond))
        }
        last = now
        guard available >= Double(bytes) else { return false }
        available -= Double(bytes)
        return true
    }

    /// Counts bytes that are written whether they fit in or not. The bytes that come after them wait for that.
    mutating func charge(_ bytes: Int) {
        available -= Double(bytes)
    }
}
