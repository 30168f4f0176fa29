internal import CZlib
internal import NIOCore

/// Packs whole replies in gzip's format (RFC 1952).
enum Deflater {
    /// Fast: a reply waits for it.
    private static let level: Int32 = 1
    /// The largest window, in gzip's format.
    private static let windowBits: Int32 = 15 + 16
    private static let memoryLevel: Int32 = 8

    /// The packed bytes; nil where they would not be fewer.
    static func gzip(_ content: ByteBuffer) -> ByteBuffer? {
        var stream = z_stream()
        let result = deflateInit2_(
            &stream, level, Z_DEFLATED, windowBits, memoryLevel, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size))
        guard result == Z_OK else { return nil }
        defer { deflateEnd(&stream) }
        let count = content.readableBytes
        var packed = ByteBuffer()
        var isDone = false
        _ = content.withUnsafeReadableBytes { bytes in
            packed.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
                stream.next_in = UnsafeMutablePointer(
                    mutating: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
                stream.avail_in = UInt32(bytes.count)
                stream.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
                // Not more than the content: then it is sent as it is.
                stream.avail_out = UInt32(count)
                isDone = deflate(&stream, Z_FINISH) == Z_STREAM_END
                return count - Int(stream.avail_out)
            }
        }
        return isDone ? packed : nil
    }
}
