/// How long the handler takes for a call at present. A value.
///
/// A single call that takes long, for example because the system gave the processor to another process, hardly changes
/// it. Several do.
struct HandlerPace {
    private var averageNanos: Int64 = 0
    private var toldNanos: Int64 = 0

    /// Notes how long a call took.
    ///
    /// - Returns: the time to tell the gateway; nil while it knows about as much.
    @inline(__always)
    mutating func note(_ nanos: Int64) -> UInt64? {
        let sample = max(nanos, 1)
        if averageNanos == 0 {
            averageNanos = sample
        } else if sample > averageNanos {
            averageNanos += min((sample - averageNanos) / 2, averageNanos)
        } else {
            averageNanos -= (averageNanos - sample) / 8
        }
        guard averageNanos > 2 * toldNanos || 2 * averageNanos < toldNanos else { return nil }
        toldNanos = averageNanos
        return UInt64(averageNanos)
    }
}
