/// The nine bytes before each HTTP/2 frame (RFC 9113, 4.1). A value.
struct FrameHead {
    enum Kind {
        static let data: UInt8 = 0
        static let headers: UInt8 = 1
        static let priority: UInt8 = 2
        static let reset: UInt8 = 3
        static let settings: UInt8 = 4
        static let ping: UInt8 = 6
        static let goAway: UInt8 = 7
        static let windowUpdate: UInt8 = 8
        static let continuation: UInt8 = 9
    }

    enum Flags {
        static let endStream: UInt8 = 0x1
        static let acknowledges: UInt8 = 0x1
        static let endHeaders: UInt8 = 0x4
        static let padded: UInt8 = 0x8
    }

    static let bytes = 9

    /// How many bytes follow.
    let length: Int
    let kind: UInt8
    let flags: UInt8
    let stream: UInt32

    /// - Parameters:
    ///   - first: the first eight bytes as a number.
    ///   - last: the ninth byte.
    init(_ first: UInt64, _ last: UInt8) {
        length = Int(first >> 40)
        kind = UInt8(truncatingIfNeeded: first >> 32)
        flags = UInt8(truncatingIfNeeded: first >> 24)
        stream = (UInt32(truncatingIfNeeded: first << 8) | UInt32(last)) & 0x7FFF_FFFF
    }

    var endsStream: Bool { flags & Flags.endStream != 0 }
    var endsHeaders: Bool { flags & Flags.endHeaders != 0 }
}

/// Reads the heads of frames from bytes that may be cut up anywhere. A value.
struct FrameHeadReader {
    private var first: UInt64 = 0
    private var count = 0

    /// Reads on from `offset` and advances it; nil when the bytes end before the head does.
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
