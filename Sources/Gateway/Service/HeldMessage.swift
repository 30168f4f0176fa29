internal import GRPC

/// A message that is handed from one to another, and taken out once.
final class HeldMessage: @unchecked Sendable {
    // @unchecked: whoever holds it hands it on.
    private var buffer: ByteBuffer?

    init(_ buffer: consuming ByteBuffer) {
        self.buffer = consume buffer
    }

    /// Nil the second time.
    func take() -> ByteBuffer? {
        buffer.take()
    }
}
