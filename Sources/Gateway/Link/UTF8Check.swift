/// Tells whether bytes are UTF-8 (RFC 3629): long runs of ASCII at memory speed, the rest byte by byte.
enum UTF8Check {
    /// Where the first byte is that cannot be part of UTF-8 text; nil when all can.
    static func firstInvalid(in bytes: UnsafeRawBufferPointer) -> Int? {
        var index = 0
        while index < bytes.count {
            index = skipASCII(bytes, from: index)
            guard index < bytes.count else { return nil }
            guard let length = sequenceLength(bytes, at: index) else { return index }
            index += length
        }
        return nil
    }

    private static func skipASCII(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        guard let base = bytes.baseAddress else { return start }
        var index = start
        // 64 bytes at a time, in words: the compiler makes vectors of them.
        while index + 64 <= bytes.count {
            var all: UInt64 = 0
            for word in 0..<8 {
                all |= base.loadUnaligned(fromByteOffset: index + 8 * word, as: UInt64.self)
            }
            if all & 0x8080_8080_8080_8080 != 0 { break }
            index += 64
        }
        while index < bytes.count, bytes[index] < 0x80 { index += 1 }
        return index
    }

    /// Bytes of the multi-byte sequence at `index`; nil when it is none.
    private static func sequenceLength(_ bytes: UnsafeRawBufferPointer, at index: Int) -> Int? {
        let first = bytes[index]
        let length: Int
        /// What the second byte may be: this keeps out overlong forms, surrogates, and what is beyond U+10FFFF.
        let second: ClosedRange<UInt8>
        switch first {
        case 0xC2...0xDF: (length, second) = (2, 0x80...0xBF)
        case 0xE0: (length, second) = (3, 0xA0...0xBF)
        case 0xED: (length, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: (length, second) = (3, 0x80...0xBF)
        case 0xF0: (length, second) = (4, 0x90...0xBF)
        case 0xF1...0xF3: (length, second) = (4, 0x80...0xBF)
        case 0xF4: (length, second) = (4, 0x80...0x8F)
        default: return nil
        }
        guard index + length <= bytes.count, second.contains(bytes[index + 1]) else { return nil }
        for offset in 2..<max(length, 2) where !(0x80...0xBF).contains(bytes[index + offset]) { return nil }
        return length
    }
}
