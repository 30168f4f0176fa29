/// The head of an Error: the call ended without a reply. The payload is the whole traceback in UTF-8, or empty.
package struct ErrorHead: Sendable, Equatable {
    /// Whether the handler ran.
    package enum Executed: UInt8, Sendable {
        case no = 0
        case maybe = 1
        case yes = 2
    }

    /// A status code (https://grpc.io/docs/guides/status-codes/), never 0, see ``LinkStatusCode``.
    package var code: UInt8
    package var executed: Executed
    package var message: String
    /// Metadata for the caller.
    package var metadata: [Metadatum]

    package init(code: UInt8, executed: Executed, message: String, metadata: [Metadatum] = []) {
        self.code = code
        self.executed = executed
        self.message = message
        self.metadata = metadata
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .error, bytes: head)
        code = try reader.read()
        let raw: UInt8 = try reader.read()
        guard (1...16).contains(code), let executed = Executed(rawValue: raw) else {
            throw .malformed(kind: FrameKind.error.rawValue, "code \(code), executed \(raw)")
        }
        self.executed = executed
        message = try reader.readString()
        metadata = try reader.readPairs()
    }

    /// The offset of the metadata in a valid head.
    package static func metadataOffset(in head: UnsafeRawBufferPointer) -> Int {
        4 + Int(UInt16(littleEndian: head.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(code)
        writer.write(executed.rawValue)
        writer.write(message)
        writer.write(metadata)
        return writer.bytes
    }
}
