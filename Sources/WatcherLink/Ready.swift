/// The head of Ready: the handler is constructed.
package struct Ready: Sendable, Equatable {
    /// Microseconds that importing and constructing the handler took.
    package var constructorMicros: UInt64

    package init(constructorMicros: UInt64) {
        self.constructorMicros = constructorMicros
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .ready, bytes: head)
        constructorMicros = try reader.read()
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(constructorMicros)
        return writer.bytes
    }
}
