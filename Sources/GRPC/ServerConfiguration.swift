/// The bounds of a server. They are the core's own, a last line behind what the gateway admits.
package struct ServerConfiguration: Sendable {
    /// The largest message that the core reads, in bytes. A little above the gateway's own limit, so that the gateway's
    /// answer is the one that the caller gets.
    package var maxReceiveBytes: Int
    /// The most metadata a call may have, in bytes. Over it the core (1.51) ends the whole connection, with everybody's
    /// calls on it: to be far above the gateway's own limit.
    package var maxMetadataBytes: Int
    /// The most calls at a time on one connection.
    package var maxStreamsPerConnection: Int
    /// What the core may hold in buffers for all connections together, in bytes.
    package var memoryQuotaBytes: Int
    /// After so much silence a peer is asked whether it is there.
    package var keepaliveTime: Duration
    /// A peer that does not answer within this time is gone.
    package var keepaliveTimeout: Duration

    package init(
        maxReceiveBytes: Int, maxMetadataBytes: Int = 64 << 10, maxStreamsPerConnection: Int = 100,
        memoryQuotaBytes: Int = 1 << 30, keepaliveTime: Duration = .seconds(20),
        keepaliveTimeout: Duration = .seconds(10)
    ) {
        self.maxReceiveBytes = maxReceiveBytes
        self.maxMetadataBytes = maxMetadataBytes
        self.maxStreamsPerConnection = maxStreamsPerConnection
        self.memoryQuotaBytes = memoryQuotaBytes
        self.keepaliveTime = keepaliveTime
        self.keepaliveTimeout = keepaliveTimeout
    }
}
