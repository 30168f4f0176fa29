/// The head of CallOut: a handler calls another function. The payload is the input; the frame's id is the watcher's
/// own, and comes back in the CallReply.
package struct CallOutHead: Sendable, Equatable {
    /// The call that the handler works on, which lends its deadline and request id; 0 when there is none.
    package var parent: UInt64
    /// Microseconds that the handler wants to wait at most; 0 means as long as its own caller waits.
    package var timeoutMicros: UInt64
    /// `name` or `name@version`.
    package var service: String
    package var metadata: [Metadatum]

    package init(parent: UInt64, timeoutMicros: UInt64, service: String, metadata: [Metadatum] = []) {
        self.parent = parent
        self.timeoutMicros = timeoutMicros
        self.service = service
        self.metadata = metadata
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .callOut, bytes: head)
        parent = try reader.read()
        timeoutMicros = try reader.read()
        service = try reader.readString()
        metadata = try reader.readPairs()
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(parent)
        writer.write(timeoutMicros)
        writer.write(service)
        writer.write(metadata)
        return writer.bytes
    }
}
