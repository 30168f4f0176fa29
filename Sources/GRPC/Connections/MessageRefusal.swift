/// Why a message was kept from the core. A refused message is replaced by a short one that carries the reason and is
/// not valid protobuf: a receiver whose bytes do not parse checks whether they are such a message.
package enum MessageRefusal: Error, Equatable, Sendable {
    /// The message is compressed: its size would be known only after unpacking.
    case compressed
    /// The message is larger than a message may be.
    case tooLarge(bytes: Int)
    /// There is no room for the message beside the others that are on their way.
    case noRoom(bytes: Int)

    /// The first byte is key 0 with wire type 7: no protobuf message begins so.
    private static let mark: [UInt8] = [0x07, 0x64, 0x63, 0x66]
    static let firstByte = mark[0]
    /// The least size of the short message: the mark, the reason, the size.
    package static let encodedBytes = 9

    private var code: UInt8 {
        switch self {
        case .compressed: 1
        case .tooLarge: 2
        case .noRoom: 3
        }
    }

    private var bytes: Int {
        switch self {
        case .compressed: 0
        case .tooLarge(let bytes), .noRoom(let bytes): bytes
        }
    }

    /// Writes the short message over the first bytes of `target`.
    func encode(to target: UnsafeMutableRawBufferPointer) {
        for (index, byte) in Self.mark.enumerated() { target[index] = byte }
        target[4] = code
        target.storeBytes(of: UInt32(clamping: bytes).bigEndian, toByteOffset: 5, as: UInt32.self)
    }

    /// The short message.
    package var message: ByteBuffer {
        ByteBuffer(count: Self.encodedBytes) { encode(to: $0) }
    }

    /// Reads a short message; nil when `message` is not one.
    package init?(_ message: UnsafeRawBufferPointer) {
        guard message.count >= Self.encodedBytes, message.prefix(4).elementsEqual(Self.mark) else { return nil }
        let bytes = Int(UInt32(bigEndian: message.loadUnaligned(fromByteOffset: 5, as: UInt32.self)))
        switch message[4] {
        case 1: self = .compressed
        case 2: self = .tooLarge(bytes: bytes)
        case 3: self = .noRoom(bytes: bytes)
        default: return nil
        }
    }
}
