/// The head of a Call; the payload is the caller's input.
package struct CallHead: Sendable {
    /// Microseconds until the caller's deadline when the frame is written; 0 means no deadline.
    package var remainingMicros: UInt64
    package var requestID: String
    /// The caller's metadata, without the names that the front keeps for its own protocol.
    package var metadata: [Metadatum]

    package init(remainingMicros: UInt64, requestID: String, metadata: [Metadatum] = []) {
        self.remainingMicros = remainingMicros
        self.requestID = requestID
        self.metadata = metadata
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .call, bytes: head)
        remainingMicros = try reader.read()
        requestID = try reader.readString()
        metadata = try reader.readPairs()
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(remainingMicros)
        writer.write(requestID)
        writer.write(metadata)
        return writer.bytes
    }
}
