internal import WatcherLink

/// Metadata that a handler gives to its caller, encoded as the link has it. Only what gRPC allows and does not keep for
/// itself or for the gateway gets in; what is beyond the bounds is left out.
package struct ReplyMetadata: Sendable, Equatable {
    /// Bytes of all keys and values together.
    package static let bytesMax = 8 << 10
    package static let pairsMax = 64

    /// Pairs of a u16 length and bytes, twice.
    private var encoded: [UInt8] = []

    /// None.
    package init() {}

    /// - Parameters:
    ///   - head: of a frame.
    ///   - start: where the pairs begin in it, with their count.
    init(head: UnsafeRawBufferPointer, from start: Int = 0) {
        var offset = start
        var bytes = 0
        var pairs = 0
        guard head.count >= offset + 2 else { return }
        let count = Int(head.loadUnaligned(fromByteOffset: offset, as: UInt16.self).littleEndian)
        offset += 2
        for _ in 0..<count {
            let begin = offset
            guard let key = Self.part(of: head, at: &offset), let value = Self.part(of: head, at: &offset) else {
                return
            }
            bytes += key.count + value.count
            guard Self.isGood(key, value) else { continue }
            pairs += 1
            guard bytes <= Self.bytesMax, pairs <= Self.pairsMax else { return }
            encoded.append(contentsOf: UnsafeRawBufferPointer(rebasing: head[begin..<offset]))
        }
    }

    package var isEmpty: Bool { encoded.isEmpty }

    /// Calls `body` for each pair.
    package func forEach(_ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void) {
        guard !encoded.isEmpty else { return }
        encoded.withUnsafeBytes { bytes in
            var offset = 0
            while let key = Self.part(of: bytes, at: &offset), let value = Self.part(of: bytes, at: &offset) {
                body(key, value)
            }
        }
    }

    private static func part(of bytes: UnsafeRawBufferPointer, at offset: inout Int) -> UnsafeRawBufferPointer? {
        guard bytes.count >= offset + 2 else { return nil }
        let length = Int(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self).littleEndian)
        guard bytes.count >= offset + 2 + length else { return nil }
        defer { offset += 2 + length }
        return UnsafeRawBufferPointer(rebasing: bytes[offset + 2..<offset + 2 + length])
    }

    /// Whether gRPC takes the pair, and it is a handler's to set.
    private static func isGood(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
        guard !key.isEmpty, key.allSatisfy(isKeyByte) else { return false }
        for reserved in ["grpc-", "dcf-"] where key.starts(with: reserved.utf8) { return false }
        for reserved in ["content-type", "te", "user-agent", "x-request-id", "traceparent"]
        where key.elementsEqual(reserved.utf8) {
            return false
        }
        // Any bytes are good in a value that is sent as base64.
        return key.suffix(4).elementsEqual("-bin".utf8) || value.allSatisfy { (0x20...0x7E).contains($0) }
    }

    private static func isKeyByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"),
            UInt8(ascii: "_"), UInt8(ascii: "."):
            true
        default: false
        }
    }
}
