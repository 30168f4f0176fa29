/// The head of Returned: the calls that a watcher gives back because it has not begun them.
package struct Returned: Sendable, Equatable {
    package var calls: [UInt64]

    package init(calls: [UInt64]) {
        self.calls = calls
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .returned, bytes: head)
        calls = []
        for _ in 0..<(try reader.read(UInt16.self)) { calls.append(try reader.read()) }
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(UInt16(calls.count))
        for call in calls { writer.write(call) }
        return writer.bytes
    }
}
