/// How much may be logged: so many bytes a second, and as many at once after a pause. A value; time comes from outside.
struct LogRate: Sendable {
    let bytesPerSecond: Int
    private var available: Double
    private var last: Duration?

    init(bytesPerSecond: Int) {
        self.bytesPerSecond = bytesPerSecond
        available = Double(bytesPerSecond)
    }

    /// Takes the bytes if they fit in now; `now` is the time since some fixed moment.
    mutating func take(_ bytes: Int, now: Duration) -> Bool {
        if let last {
            let passed = now - last
            available = min(Double(bytesPerSecond), available + max(0, passed / .seconds(1)) * Double(bytesPerSecond))
        }
        last = now
        guard available >= Double(bytes) else { return false }
        available -= Double(bytes)
        return true
    }

    /// Takes bytes that are written whether they fit in or not; what comes after them waits for that.
    mutating func charge(_ bytes: Int) {
        available -= Double(bytes)
    }
}
