/// What clients may do together, and one of them alone.
package struct ConnectionLimits: Sendable, Equatable {
    package var frames = FrameGuardLimits()
    /// Connections of one address; loopback has no such limit.
    package var perAddress = 256
    /// Replies that clients have not taken, in bytes: all together, and one connection's.
    package var replyBytes = 512 << 20
    package var replyBytesPerConnection = 256 << 20
    /// Messages that have begun to come and are not here yet, by the sizes that they say: all together, and one connection's.
    package var inputBytes = 512 << 20
    package var inputBytesPerConnection = 256 << 20
    /// How long a connection may make no progress while more than half of these bytes are taken.
    package var stall = Duration.seconds(5)

    package init() {}
}
