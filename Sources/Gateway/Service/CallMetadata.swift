internal import GRPC

/// What a call's metadata says to the gateway and to the handler.
struct CallMetadata {
    static let requestIDKey = "x-request-id"

    /// The caller's `x-request-id`, or one made for it.
    let requestID: String
    /// The other pairs as a Call frame has them, less what belongs to gRPC itself; empty when there are none.
    let encoded: [UInt8]

    init(_ call: UnaryCall) {
        var requestID: String?
        var encoded: [UInt8] = []
        var count: UInt16 = 0
        call.forEachMetadata { key, value in
            if key.elementsEqual(Self.requestIDKey.utf8) {
                if RequestID.isGood(value) { requestID = String(decoding: value, as: UTF8.self) }
                return
            }
            guard !Self.isOwn(key), key.count <= Int(UInt16.max), value.count <= Int(UInt16.max) else { return }
            if encoded.isEmpty { encoded = [0, 0] }
            count += 1
            for part in [key, value] {
                withUnsafeBytes(of: UInt16(part.count).littleEndian) { encoded.append(contentsOf: $0) }
                encoded.append(contentsOf: part)
            }
        }
        if count > 0 {
            encoded[0] = UInt8(count & 0xFF)
            encoded[1] = UInt8(count >> 8)
        }
        self.requestID = requestID ?? RequestID.make()
        self.encoded = encoded
    }

    /// gRPC's own keys, and what clients' libraries add to every call.
    private static func isOwn(_ key: UnsafeRawBufferPointer) -> Bool {
        key.starts(with: "grpc-".utf8) || key.starts(with: ":".utf8) || key.elementsEqual("user-agent".utf8)
            || key.elementsEqual("te".utf8) || key.elementsEqual("content-type".utf8)
    }
}
