package import Platform

/// How a call ended: a code, a sentence for people, and metadata (the trailers).
package struct Status: Error, Sendable, Equatable, CustomStringConvertible {
    package var code: StatusCode
    package var message: String
    package var metadata: Metadata

    package init(_ code: StatusCode, _ message: String = "", metadata: Metadata = Metadata()) {
        self.code = code
        self.message = message
        self.metadata = metadata
    }

    package static let ok = Status(.ok)

    /// The status of a call whose reply has no room, because earlier replies were not read.
    package static func repliesNotTaken(_ connections: Connections) -> Status {
        Status(
            .resourceExhausted, connections.repliesNotTaken, metadata: ["dcf-executed": "yes"])
    }

    package var description: String {
        message.isEmpty ? code.name : "\(code.name): \(message)"
    }

    /// The most bytes of a message after percent-encoding. With a longer message some clients would get an error about
    /// metadata instead; this many bytes are safe beside the other metadata.
    package static let messageBytesMax = 2048

    /// The message, cut so that gRPC's percent-encoding of it stays within ``messageBytesMax``.
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
