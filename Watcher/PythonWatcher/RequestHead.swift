import WatcherLink

/// Walks over what follows the remaining time in a Call's head, without making Swift strings of it.
struct RequestHead {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    /// - Parameter bytes: request id, number of pairs, pairs; must outlive the value.
    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// Nil at the end of the bytes.
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

    /// Whether the bytes hold all that they announce.
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
