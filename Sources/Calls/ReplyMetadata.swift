internal import Platform

/// The metadata that a handler sets for its caller: pairs of strings.
///
/// Names that are reserved for the gateway, names that are not valid header names, and pairs beyond the bounds are left
/// out.
package struct ReplyMetadata: Sendable, Equatable {
    /// Bytes of all keys and values together.
    package static let bytesMax = 8 << 10
    package static let pairsMax = 64

    /// Each pair is a u16 length and the key, then a u16 length and the value.
    private var encoded: [UInt8] = []

    /// No metadata.
    package init() {}

    /// - Parameters:
    ///   - head: the head of a frame.
    ///   - start: where the count of the pairs lies in it; the pairs follow.
    package init(head: UnsafeRawBufferPointer, from start: Int = 0) {
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
            guard Self.isGood(key) else { continue }
            pairs += 1
            guard bytes <= Self.bytesMax, pairs <= Self.pairsMax else { return }
            encoded.append(contentsOf: UnsafeRawBufferPointer(rebasing: head[begin..<offset]))
        }
    }

    package var isEmpty: Bool { encoded.isEmpty }

    /// The status of HTTP that the handler chose, and its words; nil where it chose none.
    package var status: (code: Int, reason: String)? {
        var code: Int?
        var reason = ""
        forEach { key, value in
            if key.isEqual(to: ":status") { code = Int(String(decoding: value, as: UTF8.self)) }
            if key.isEqual(to: ":reason") { reason = String(decoding: value, as: UTF8.self) }
        }
        guard let code, (200...599).contains(code) else { return nil }
        return (code, reason)
    }

    /// Calls `body` for each pair that the protocol can carry.
    package func forEach(
        by policy: HeaderPolicy = .none,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void
    ) {
        guard !encoded.isEmpty else { return }
        encoded.withUnsafeBytes { bytes in
            var offset = 0
            while let key = Self.part(of: bytes, at: &offset), let value = Self.part(of: bytes, at: &offset) {
                if !policy.withholds(key, answering: value) { body(key, value) }
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

    /// Whether it is a valid name, and a handler may set it.
    private static func isGood(_ key: UnsafeRawBufferPointer) -> Bool {
        // The watcher's own; a handler cannot set them by their names.
        if key.isEqual(to: ":status") || key.isEqual(to: ":reason") { return true }
        guard !key.isEmpty, key.allSatisfy(isKeyByte) else { return false }
        return !key.hasPrefix("dcf-") && !key.isEqual(to: RequestMetadata.requestIDKey)
            && !key.isEqual(to: RequestMetadata.traceParentKey)
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
