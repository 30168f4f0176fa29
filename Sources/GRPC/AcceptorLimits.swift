internal import Glibc

/// What an ``Acceptor`` allows.
package struct AcceptorLimits: Sendable {
    /// How long a new connection has to send the HTTP/2 preface.
    package var prefaceTimeout: Duration
    /// How many connections may be waited for at a time.
    package var pendingMax: Int
    /// The highest descriptor number that a connection may get; the core never says when it closes one, but the kernel
    /// always gives the lowest that is free.
    package var descriptorMax: Int32

    package init(prefaceTimeout: Duration = .seconds(10), pendingMax: Int = 256, descriptorMax: Int32) {
        self.prefaceTimeout = prefaceTimeout
        self.pendingMax = pendingMax
        self.descriptorMax = descriptorMax
    }

    /// The limit for this process: at most `max`, and `reserve` below what the system allows it.
    package static func descriptorMax(_ max: Int32, reserve: Int32) -> Int32 {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let allowed = Int32(clamping: limit.rlim_cur)
        return min(max, Swift.max(allowed - reserve, 16))
    }
}
