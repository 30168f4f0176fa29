/// How often something may happen: so many times at once, and then so many times a second.
struct FrameRate {
    /// Nanoseconds that one time costs.
    private let cost: Int64
    /// How far ahead of the clock what was spent may be.
    private let ahead: Int64
    /// The moment up to which all is spent.
    private var spent: Int64 = .min

    init(burst: Int, perSecond: Double) {
        cost = Int64(1e9 / perSecond)
        ahead = cost.multipliedReportingOverflow(by: Int64(burst)).partialValue
    }

    /// - Returns: whether it may happen once more now.
    mutating func allows(at now: MonotonicTime) -> Bool {
        spent = max(spent, now.nanoseconds) + cost
        return spent - now.nanoseconds <= ahead
    }
}
