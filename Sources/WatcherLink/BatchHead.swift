/// The head of Batch: the handler gets the next `count` calls on the link as one list.
package struct BatchHead: Sendable, Equatable {
    package var count: UInt16

    package init(count: UInt16) {
        self.count = count
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .batch, bytes: head)
        count = try reader.read()
        guard count > 0 else { throw .malformed(kind: FrameKind.batch.rawValue, "a batch of no calls") }
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(count)
        return writer.bytes
    }
}
