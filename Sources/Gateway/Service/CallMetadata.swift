internal import GRPC

/// What a call's metadata says to the gateway and to the handler.
struct CallMetadata {
    static let requestIDKey = "x-request-id"

    /// The caller's `x-request-id`, or one made for it.
    let requestID: String
    /// The other pairs as a Call frame has them, less what belongs to gRPC itself; empty when there are none.
    let encoded: [UInt8]

    init(_ call: UnaryCall) {
        var collected = Collected()
        call.forEachMetadata { collected.add($0, $1) }
        self.init(collected)
    }

    init(_ metadata: Metadata) {
        var collected = Collected()
        for (key, value) in metadata.pairs {
            Array(key.utf8).withUnsafeBytes { key in
                Array(value.utf8).withUnsafeBytes { value in collected.add(key, value) }
            }
        }
        self.init(collected)
    }

    private init(_ collected: Collected) {
        requestID = collected.requestID ?? RequestID.make()
        encoded = collected.encoded
    }

    /// What was found so far.
    private struct Collected {
        var requestID: String?
        var encoded: [UInt8] = []
        private var count: UInt16 = 0

        mutating func add(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
            if key.elementsEqual(CallMetadata.requestIDKey.utf8) {
                if RequestID.isGood(value) { requestID = String(decoding: value, as: UTF8.self) }
                return
            }
            guard !Self.isOwn(key), key.count <= Int(UInt16.max), value.count <= Int(UInt16.max) else { return }
            if encoded.isEmpty { encoded = [0, 0] }
            append(key)
            append(value)
            count += 1
            encoded[0] = UInt8(count & 0xFF)
            encoded[1] = UInt8(count >> 8)
        }

        private mutating func append(_ part: UnsafeRawBufferPointer) {
            withUnsafeBytes(of: UInt16(part.count).littleEndian) { encoded.append(contentsOf: $0) }
            encoded.append(contentsOf: part)
        }

        /// gRPC's own keys, and what clients' libraries add to every call.
        private static func isOwn(_ key: UnsafeRawBufferPointer) -> Bool {
            key.starts(with: "grpc-".utf8) || key.starts(with: ":".utf8) || key.elementsEqual("user-agent".utf8)
                || key.elementsEqual("te".utf8) || key.elementsEqual("content-type".utf8)
        }
    }
}
