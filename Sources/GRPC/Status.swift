/// How a call ended: a code, a sentence for people, and metadata (the trailers).
package struct Status: Error, Sendable, Equatable, CustomStringConvertible {
    /// The codes of https://grpc.io/docs/guides/status-codes/.
    package enum Code: UInt32, Sendable, CaseIterable {
        case ok = 0
        case cancelled = 1
        case unknown = 2
        case invalidArgument = 3
        case deadlineExceeded = 4
        case notFound = 5
        case alreadyExists = 6
        case permissionDenied = 7
        case resourceExhausted = 8
        case failedPrecondition = 9
        case aborted = 10
        case outOfRange = 11
        case unimplemented = 12
        case `internal` = 13
        case unavailable = 14
        case dataLoss = 15
        case unauthenticated = 16

        /// The name as gRPC's documents write it: `NOT_FOUND`.
        package var name: String {
            switch self {
            case .ok: "OK"
            case .cancelled: "CANCELLED"
            case .unknown: "UNKNOWN"
            case .invalidArgument: "INVALID_ARGUMENT"
            case .deadlineExceeded: "DEADLINE_EXCEEDED"
            case .notFound: "NOT_FOUND"
            case .alreadyExists: "ALREADY_EXISTS"
            case .permissionDenied: "PERMISSION_DENIED"
            case .resourceExhausted: "RESOURCE_EXHAUSTED"
            case .failedPrecondition: "FAILED_PRECONDITION"
            case .aborted: "ABORTED"
            case .outOfRange: "OUT_OF_RANGE"
            case .unimplemented: "UNIMPLEMENTED"
            case .internal: "INTERNAL"
            case .unavailable: "UNAVAILABLE"
            case .dataLoss: "DATA_LOSS"
            case .unauthenticated: "UNAUTHENTICATED"
            }
        }
    }

    package var code: Code
    package var message: String
    package var metadata: Metadata

    package init(_ code: Code, _ message: String = "", metadata: Metadata = Metadata()) {
        self.code = code
        self.message = message
        self.metadata = metadata
    }

    package static let ok = Status(.ok)

    /// A message cannot be sent, as its client has not taken what it was sent before.
    package static func repliesNotTaken(_ connections: Connections) -> Status {
        Status(
            .resourceExhausted, connections.repliesNotTaken, metadata: ["dcf-executed": "yes"])
    }

    package var description: String {
        message.isEmpty ? code.name : "\(code.name): \(message)"
    }

    /// A longer message reaches some clients as an error about metadata instead; this many bytes of percent-encoding
    /// are safe with the others beside it.
    package static let messageBytesMax = 2048

    /// The message, cut so that it stays within ``messageBytesMax`` when gRPC percent-encodes it.
    package var boundedMessage: String {
        var bytes = 0
        for index in message.unicodeScalars.indices {
            let scalar = message.unicodeScalars[index]
            let plain = scalar.isASCII && scalar.value >= 0x20 && scalar.value < 0x7F && scalar != "%"
            bytes += plain ? 1 : 3 * String(scalar).utf8.count
            if bytes > Self.messageBytesMax - 3 {
                return String(message[..<index]) + "..."
            }
        }
        return message
    }
}
