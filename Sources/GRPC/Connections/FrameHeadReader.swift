/// Finds the heads of frames in bytes that come cut up anyhow.
struct FrameHeadReader {
    private var first: UInt64 = 0
    private var count = 0

    /// Reads on from `offset`, which it moves; nil when the bytes end before the head does.
    @inline(__always)
    mutating func next(in bytes: UnsafeRawBufferPointer, at offset: inout Int) -> FrameHead? {
        if count == 0, bytes.count - offset >= FrameHead.bytes {
            let first = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset += FrameHead.bytes
            return FrameHead(first, bytes[offset - 1])
        }
        while offset < bytes.count {
            let byte = bytes[offset]
            offset += 1
            count += 1
            if count == FrameHead.bytes {
                defer { (first, count) = (0, 0) }
                return FrameHead(first, byte)
            }
            first = first << 8 | UInt64(byte)
        }
        return nil
    }
}
