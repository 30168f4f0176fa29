/// Whether a peer that holds something goes on.
struct Progress {
    /// In the time that it has, a peer must move this part of what it holds.
    private static let part = 32

    /// Bytes that it has moved, ever.
    var bytes = 0
    private var mark = 0
    private var since: MonotonicTime?

    /// Compares with an earlier look.
    ///
    /// - Parameter holding: bytes; with none it has all the time.
    /// - Returns: whether it has moved next to nothing for `limit`.
    mutating func isStalled(holding: Int, at now: MonotonicTime, limit: Duration) -> Bool {
        guard holding > 0, let since, bytes - mark < holding / Self.part else {
            mark = bytes
            since = holding > 0 ? now : nil
            return false
        }
        return now.nanoseconds(since: since) >= limit.nanosecondsClamped
    }
}
