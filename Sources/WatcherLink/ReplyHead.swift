/// The head of a Reply; the payload is what the handler returned.
package struct ReplyHead: Sendable {
    /// Metadata for the caller.
    package var metadata: [(key: String, value: String)]

    package init(metadata: [(key: String, value: String)] = []) {
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
