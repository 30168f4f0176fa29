import WatcherLink

/// Reads the part of a Call's head after the remaining time, without making Swift strings.
struct RequestHead {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    /// - Parameter bytes: the request id, the number of pairs, and the pairs; must outlive this value.
    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// The next number; nil at the end of the bytes.
    mutating func nextCount() -> Int? {
        guard bytes.count - offset >= 2 else { return nil }
        defer { offset += 2 }
        return Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
    }

    /// The bytes of the next string; nil when it does not fit.
    mutating func nextString() -> UnsafeRawBufferPointer? {
        guard let length = nextCount(), bytes.count - offset >= length else { return nil }
        defer { offset += length }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length])
    }

    /// Throws if the bytes end before the last pair.
    func check() throws(WatcherError) {
        var head = self
        var isWhole = head.nextString() != nil
        let count = head.nextCount()
        isWhole = isWhole && count != nil
        var left = 2 * (count ?? 0)
        while isWhole && left > 0 {
            isWhole = head.nextString() != nil
            left -= 1
        }
        guard isWhole else {
            throw .link(LinkError.malformed(kind: FrameKind.call.rawValue, "its head ends early").description)
        }
    }
}
