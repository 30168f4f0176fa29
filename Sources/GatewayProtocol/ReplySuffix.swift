/// The bytes after a reply in an encoded `Messages` of a stream: which request it answers, and whether it is the last
/// message of that request. A field that has its default is left out, as the encoding demands.
package struct ReplySuffix: Sendable, Equatable {
    /// More than a suffix ever has.
    package static let bytesMax = 15

    package var request: UInt64
    package var isLast: Bool

    package init(request: UInt64, isLast: Bool) {
        self.request = request
        self.isLast = isLast
    }

    /// Bytes of the suffix.
    package var length: Int {
        var length = isLast ? 3 : 0
        if request > 0 { length += 2 + (64 - request.leadingZeroBitCount + 6) / 7 }
        return length
    }

    /// Writes the suffix to the beginning of `target`.
    package func encode(to target: UnsafeMutableRawBufferPointer) {
        var offset = 0
        if request > 0 {
            target[0] = 0xA0
            target[1] = 0x06
            offset = 2
            var left = request
            while left >= 0x80 {
                target[offset] = UInt8(left & 0x7F) | 0x80
                left >>= 7
                offset += 1
            }
            target[offset] = UInt8(left)
            offset += 1
        }
        if isLast {
            target[offset] = 0xA8
            target[offset + 1] = 0x06
            target[offset + 2] = 0x01
        }
    }
}
