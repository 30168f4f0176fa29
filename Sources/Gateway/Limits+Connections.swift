internal import GRPC

extension Limits {
    /// What a server's clients may do.
    var connections: ConnectionLimits {
        var frames = FrameGuardLimits()
        frames.unackedStreams = unackedStreams
        frames.resets = resets
        frames.continuations = continuations
        frames.headerBytes = max(headerBytes, coreMetadataBytes)
        frames.emptyData = emptyData
        frames.control = control
        frames.messageBytes = coreMessageBytes
        var limits = ConnectionLimits()
        limits.frames = frames
        limits.perAddress = connectionsPerAddress
        limits.replyBytes = replyBytes
        limits.replyBytesPerConnection = replyBytesPerConnection
        limits.inputBytes = inputBytes
        limits.inputBytesPerConnection = inputBytesPerConnection
        limits.stall = stall
        return limits
    }

    /// The largest message that the core is given: what is a little too large gets the gateway's own answer.
    var coreMessageBytes: Int { messageBytes + (64 << 10) }

    /// The most metadata that the core takes: over it, it ends the connection.
    var coreMetadataBytes: Int { max(64 << 10, 8 * metadataBytes) }
}
