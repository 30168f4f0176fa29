/// The head of CallOut: a handler calls another function. The payload is the input. The watcher chooses the frame's id,
/// and the CallReply has the same.
package struct CallOutHead: Sendable, Equatable {
    /// The call that the handler works on: its deadline and request id apply to the new call too. 0 when there is none.
    package var parent: UInt64
    /// Microseconds that the handler waits at most; 0 means as long as its own caller waits.
    package var timeoutMicros: UInt64
    /// `name` or `name@version`.
    package var function: String
    package var metadata: [Metadatum]

    package init(parent: UInt64, timeoutMicros: UInt64, function: String, metadata: [Metadatum] = []) {
        self.parent = parent
        self.timeoutMicros = timeoutMicros
        self.function = function
        self.metadata = metadata
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .callOut, bytes: head)
        parent = try reader.read()
        timeoutMicros = try reader.read()
        function = try reader.readString()
        metadata = try reader.readPairs()
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(parent)
        writer.write(timeoutMicros)
        writer.write(function)
        writer.write(metadata)
        return writer.bytes
    }
}
