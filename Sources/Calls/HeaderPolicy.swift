/// Says which headers belong to the protocol that carries a call. Those headers go no further in either direction. Each
/// front has its policy.
package struct HeaderPolicy: Sendable {
    private let isProtocolHeader: @Sendable (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer?) -> Bool

    /// - Parameter isProtocolHeader: gets a header's name in lower case, and says whether the header is the protocol's
    ///   own. On the way to the caller it also gets the value, and says whether the protocol cannot carry it.
    package init(
        isProtocolHeader: @escaping @Sendable (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer?) -> Bool
    ) {
        self.isProtocolHeader = isProtocolHeader
    }

    /// Passes every header on.
    package static let none = HeaderPolicy { _, _ in false }

    /// Whether the header does not reach the handler.
    func withholds(_ name: UnsafeRawBufferPointer) -> Bool { isProtocolHeader(name, nil) }

    func withholds(_ name: UnsafeRawBufferPointer, answering value: UnsafeRawBufferPointer) -> Bool {
        isProtocolHeader(name, value)
    }
}
