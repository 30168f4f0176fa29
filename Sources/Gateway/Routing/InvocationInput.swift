package import GRPC
internal import GatewayProtocol

/// The input of a call: a part of the message that carried it, never copied out of it.
package struct InvocationInput: ~Copyable, Sendable {
    private let message: ByteBuffer
    private let offset: Int
    package let count: Int

    /// - Parameters:
    ///   - message: the whole message, kept as long as the input.
    ///   - offset: where the input begins in it.
    package init(message: consuming ByteBuffer, offset: Int, count: Int) {
        self.message = message
        self.offset = offset
        self.count = count
    }

    /// The input is the whole message.
    package init(_ message: consuming ByteBuffer) {
        count = message.count
        offset = 0
        self.message = message
    }

    /// Calls `body` with each piece of the input from byte `start` on, in order, until it returns false.
    package func forEachPiece(from start: Int = 0, _ body: (UnsafeRawBufferPointer) -> Bool) {
        var skip = offset + start
        var left = count - start
        var index = 0
        while left > 0, index < message.segmentCount {
            let segment = message.segment(index)
            index += 1
            if skip >= segment.count {
                skip -= segment.count
                continue
            }
            let length = min(segment.count - skip, left)
            guard body(UnsafeRawBufferPointer(rebasing: segment[skip..<skip + length])) else { return }
            skip = 0
            left -= length
        }
    }
}
