/// The 16 bytes that begin every frame, little-endian:
///
///     u32 bodyLength | u8 kind | u8 flags | u16 headLength | u64 id
///
/// The body is the head (the kind's fields, `headLength` bytes) followed by the payload. `id` names a call; 0 means the
/// link itself.
package struct FrameHeader: Sendable, Equatable {
    /// Bytes of an encoded header.
    package static let size = 16

    /// A body may be this many bytes longer than the message limit: room for the head.
    package static let headAllowance = 64 << 10

    package var bodyLength: Int
    /// The raw kind: this side may not know it.
    package var kind: UInt8
    package var flags: FrameFlags
    package var headLength: Int
    package var id: UInt64

    @inlinable
    package init(kind: FrameKind, flags: FrameFlags = .none, id: UInt64 = 0, headLength: Int, payloadLength: Int) {
        self.bodyLength = headLength + payloadLength
        self.kind = kind.rawValue
        self.flags = flags
        self.headLength = headLength
        self.id = id
    }

    /// Reads a header from the first 16 bytes at `source`, which need not be aligned.
    @inlinable
    package init(decoding source: UnsafeRawPointer) {
        bodyLength = Int(UInt32(littleEndian: source.loadUnaligned(as: UInt32.self)))
        kind = source.load(fromByteOffset: 4, as: UInt8.self)
        flags = FrameFlags(rawValue: source.load(fromByteOffset: 5, as: UInt8.self))
        headLength = Int(UInt16(littleEndian: source.loadUnaligned(fromByteOffset: 6, as: UInt16.self)))
        id = UInt64(littleEndian: source.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }

    /// Writes the 16 bytes to `target`, which need not be aligned.
    @inlinable
    package func encode(to target: UnsafeMutableRawPointer) {
        target.storeBytes(of: UInt32(truncatingIfNeeded: bodyLength).littleEndian, as: UInt32.self)
        target.storeBytes(of: kind, toByteOffset: 4, as: UInt8.self)
        target.storeBytes(of: flags.rawValue, toByteOffset: 5, as: UInt8.self)
        target.storeBytes(of: UInt16(truncatingIfNeeded: headLength).littleEndian, toByteOffset: 6, as: UInt16.self)
        target.storeBytes(of: id.littleEndian, toByteOffset: 8, as: UInt64.self)
    }

    /// The 16 bytes as a new array.
    package var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Self.size) { target, count in
            guard let start = target.baseAddress else { return }
            encode(to: start)
            count = Self.size
        }
    }

    /// A whole frame as a new array, for frames that are rare.
    package static func frame(
        _ kind: FrameKind, flags: FrameFlags = .none, id: UInt64 = 0, head: [UInt8] = [], payload: [UInt8] = []
    ) -> [UInt8] {
        let header = Self(kind: kind, flags: flags, id: id, headLength: head.count, payloadLength: payload.count)
        return header.bytes + head + payload
    }

    /// The length of the payload in bytes.
    @inlinable
    package var payloadLength: Int { bodyLength - headLength }

    /// Refuses an invalid header, before anything is allocated for its body.
    ///
    /// - Parameter maxBodyLength: the message limit in bytes, as agreed in Welcome.
    package func validate(maxBodyLength: Int) throws(LinkError) {
        guard headLength <= bodyLength else {
            throw .malformed(kind: kind, "its head of \(headLength) bytes is longer than its body of \(bodyLength)")
        }
        guard bodyLength <= maxBodyLength + Self.headAllowance else {
            throw .tooLong(kind: kind, length: bodyLength, limit: maxBodyLength + Self.headAllowance)
        }
    }
}
