internal import GRPC

extension Limits {
    /// What a server's clients may do.
    var clients: ConnectionLimits {
        var limits = connections
        limits.frames.headerBytes = max(limits.frames.headerBytes, coreMetadataBytes)
        limits.frames.messageBytes = coreMessageBytes
        return limits
    }

    /// The largest message that the core is given: what is a little too large gets the gateway's own answer.
    var coreMessageBytes: Int { messageBytes + (64 << 10) }

    /// The most metadata that the core takes: over it, it ends the connection.
    var coreMetadataBytes: Int { max(64 << 10, 8 * metadataBytes) }
}
