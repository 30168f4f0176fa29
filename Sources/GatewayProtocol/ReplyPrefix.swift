/// The bytes before a reply in an encoded `Message` or `Messages`: both hold it in field 1, so one encoding serves both.
package enum ReplyPrefix {
    /// More than a prefix ever has.
    package static let bytesMax = 11

    /// Writes the prefix for a reply of `count` bytes; an empty reply has none.
    ///
    /// - Returns: how many bytes it has.
    package static func encode(count: Int, to target: UnsafeMutableRawBufferPointer) -> Int {
        guard count > 0 else { return 0 }
        target[0] = 0x0A
        var length = 1
        var left = UInt64(count)
        while left >= 0x80 {
            target[length] = UInt8(left & 0x7F) | 0x80
            left >>= 7
            length += 1
        }
        target[length] = UInt8(left)
        return length + 1
    }

    /// Bytes of the prefix for a reply of `count` bytes.
    package static func length(count: Int) -> Int {
        guard count > 0 else { return 0 }
        return 1 + (64 - UInt64(count).leadingZeroBitCount + 6) / 7
    }
}
