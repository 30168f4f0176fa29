/// The head of a Reply, with the handler's reply as the payload, and of an End.
package struct ReplyHead: Sendable {
    /// Metadata for the caller.
    package var metadata: [Metadatum]

    package init(metadata: [Metadatum] = []) {
        self.metadata = metadata
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .reply, bytes: head)
        metadata = try reader.readPairs()
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(metadata)
        return writer.bytes
    }
}
