/// The head of Pace: how long the handler takes for a call at present.
///
/// A watcher sends it when that time has doubled or halved since it last did. It counts the handler alone, and no wait
/// of the call before it.
package struct Pace: Sendable, Equatable {
    package var nanoseconds: UInt64

    package init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .pace, bytes: head)
        nanoseconds = try reader.read()
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(nanoseconds)
        return writer.bytes
    }
}
