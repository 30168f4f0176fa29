package import ControlPlane
package import GRPC
internal import Platform

/// The limits of the gRPC front alone. The limits that calls have through every front are ``Limits``. A value.
package struct GRPCLimits: Sendable, Equatable {
    /// The most calls at a time on one connection.
    package var streams = 100
    /// How many descriptors are kept for everything that is not a connection.
    package var descriptorReserve = 64
    /// The highest descriptor number that a connection may get.
    package var descriptors = 8_192
    /// The most bytes that the gRPC core may hold for all connections together.
    package var memoryQuotaBytes = 1 << 30
    /// The limits for clients: for all together, and for one alone. `clients` adds those that depend on ``Limits``.
    package var connections = ConnectionLimits()
    /// How long a connection may take to begin to speak; with HTTP/2, to send its first 24 bytes.
    package var prefaceTimeout = Duration.seconds(10)

    package init() {}

    /// All limits of the gRPC front, in the order of the documentation.
    package static let named: [NamedLimit<GRPCLimits>] = [
        .count("streams", "calls at a time on one connection", \.streams),
        .count("descriptor-reserve", "descriptors kept for everything that is not a connection", \.descriptorReserve),
        .count("descriptors", "the highest descriptor number that a connection may get", \.descriptors),
        .size("memory-quota", "the memory that the gRPC core may hold for all connections", \.memoryQuotaBytes),
        .count("connections-per-address", "connections of one address, loopback excepted", \.connections.perAddress),
        .size("reply-bytes", "replies that clients have not read, all together", \.connections.replyBytes),
        .size(
            "reply-bytes-per-connection", "replies that one connection has not read",
            \.connections.replyBytesPerConnection),
        .size(
            "input-bytes", "inputs that have begun to come, all together, by the sizes that they announce",
            \.connections.inputBytes),
        .size(
            "input-bytes-per-connection", "inputs that have begun to come on one connection",
            \.connections.inputBytesPerConnection),
        .duration(
            "stall", "how long a connection without progress may hold this memory while it is short",
            \.connections.stall),
        .count(
            "h2-unacked-streams", "streams before the client acknowledges the settings",
            \.connections.frames.unackedStreams),
        .count(
            "h2-resets", "streams that a client may reset at once, and again each second", \.connections.frames.resets),
        .count("h2-continuations", "CONTINUATION frames of a header block", \.connections.frames.continuations),
        .size("h2-header-bytes", "a header block", \.connections.frames.headerBytes),
        .count(
            "h2-empty-data", "DATA frames with next to no bytes at once, a tenth of them a second afterwards",
            \.connections.frames.emptyData),
        .count(
            "h2-control",
            "PING and PRIORITY frames at once, a tenth of them a second afterwards; a tenth as many SETTINGS, ten times "
                + "as many small WINDOW_UPDATE", \.connections.frames.control),
        .duration("preface-timeout", "how long a connection may take to begin to speak", \.prefaceTimeout),
    ]

    // MARK: The settings of the gRPC module

    /// The largest message that the core reads. A message that is a little too large gets the gateway's own answer.
    static func coreMessageBytes(_ limits: Limits) -> Int { limits.messageBytes + (64 << 10) }

    /// The most metadata that the core takes. Above it, the core ends the connection.
    static func coreMetadataBytes(_ limits: Limits) -> Int { max(64 << 10, 8 * limits.metadataBytes) }

    func server(_ limits: Limits) -> ServerConfiguration {
        ServerConfiguration(
            maxReceiveBytes: Self.coreMessageBytes(limits), maxMetadataBytes: Self.coreMetadataBytes(limits),
            maxStreamsPerConnection: streams, memoryQuotaBytes: memoryQuotaBytes)
    }

    func clients(_ limits: Limits) -> ConnectionLimits {
        var clients = connections
        clients.frames.headerBytes = max(clients.frames.headerBytes, Self.coreMetadataBytes(limits))
        clients.frames.messageBytes = Self.coreMessageBytes(limits)
        return clients
    }

    var acceptor: AcceptorLimits {
        AcceptorLimits(
            prefaceTimeout: prefaceTimeout,
            descriptorMax: AcceptorLimits.descriptorMax(
                Int32(clamping: descriptors), reserve: Int32(clamping: descriptorReserve)))
    }
}
