/// Reads what ``HeadWriter`` wrote. It never reads past the bytes it was given.
package struct HeadReader {
    private let kind: UInt8
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    /// - Parameters:
    ///   - kind: the frame's kind, for errors.
    ///   - bytes: the head; must outlive the reader.
    package init(kind: FrameKind, bytes: UnsafeRawBufferPointer) {
        self.kind = kind.rawValue
        self.bytes = bytes
    }

    package mutating func read<T: FixedWidthInteger>(_ type: T.Type = T.self) throws(LinkError) -> T {
        let size = MemoryLayout<T>.size
        guard bytes.count - offset >= size else { throw .malformed(kind: kind, "its head ends early") }
        defer { offset += size }
        return T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    package mutating func readString() throws(LinkError) -> String {
        let length = Int(try read(UInt16.self))
        guard bytes.count - offset >= length else { throw .malformed(kind: kind, "a string in its head ends early") }
        defer { offset += length }
        return String(decoding: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length]), as: UTF8.self)
    }

    /// Reads a field of bytes; both ends know its length.
    package mutating func readBytes(_ count: Int) throws(LinkError) -> [UInt8] {
        guard bytes.count - offset >= count else { throw .malformed(kind: kind, "its head ends early") }
        defer { offset += count }
        return Array(bytes[offset..<offset + count])
    }

    /// Whether there are no more bytes. A sender of an older release leaves out the fields that were added later.
    package var isAtEnd: Bool { offset == bytes.count }

    package mutating func readPairs() throws(LinkError) -> [Metadatum] {
        let count = Int(try read(UInt16.self))
        var pairs: [Metadatum] = []
        for _ in 0..<count {
            pairs.append(Metadatum(key: try readString(), value: try readString()))
        }
        return pairs
    }
}
