internal import GRPC
internal import WatcherLink

/// The metadata of a call on its way to a handler: encoded as a Call frame has it, a count and then pairs of strings.
///
/// What belongs to gRPC or to the gateway is left out. The first pair is always `traceparent`
/// (https://www.w3.org/TR/trace-context/): the caller's, or one made for the call.
package struct RequestMetadata: Sendable, Equatable {
    package static let requestIDKey: StaticString = "x-request-id"
    package static let traceParentKey: StaticString = "traceparent"
    private static let stickyKey: StaticString = "dcf-key"

    package private(set) var encoded: [UInt8]
    /// The caller's `x-request-id`, or one made for it.
    package private(set) var requestID: String
    /// What the caller gave as `dcf-key`: calls with the same one go to the same version.
    package private(set) var key: String?
    /// The size of all that the caller gave, by HTTP/2's measure (RFC 9113, 10.5.1): a pair counts as its name, its value
    /// and 32 bytes.
    package private(set) var callerBytes = 0
    private var count: UInt16 = 1

    /// Where the value of `traceparent` lies in `encoded`.
    private static let traceParentOffset = 2 + 2 + 11 + 2

    /// Before the caller's pairs are added.
    ///
    /// - Parameters:
    ///   - requestID: nil makes one.
    ///   - traceParent: of a call that this one is part of; nil makes one.
    package init(requestID: String? = nil, traceParent: [UInt8]? = nil) {
        self.requestID = requestID ?? ""
        encoded = [UInt8](unsafeUninitializedCapacity: Self.traceParentOffset + TraceParent.length) { target, count in
            target[0] = 1
            target[1] = 0
            target[2] = UInt8(Self.traceParentKey.utf8CodeUnitCount)
            target[3] = 0
            for index in 0..<Self.traceParentKey.utf8CodeUnitCount {
                target[4 + index] = Self.traceParentKey.utf8Start[index]
            }
            target[15] = UInt8(TraceParent.length)
            target[16] = 0
            // None yet.
            target[17] = 0
            count = Self.traceParentOffset + TraceParent.length
        }
        if let traceParent, traceParent.count == TraceParent.length { set(traceParent: traceParent) }
    }

    /// Adds one of the caller's pairs, if it is for the handler, or takes from it what is for the gateway.
    package mutating func add(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        callerBytes += key.count + value.count + 32
        switch Self.kind(of: key) {
        case .own: return
        case .requestID:
            if requestID.isEmpty, RequestID.isGood(value) { requestID = String(decoding: value, as: UTF8.self) }
        case .traceParent:
            if !hasTraceParent, TraceParent.isGood(value) { set(traceParent: value) }
        case .sticky:
            self.key = String(decoding: value, as: UTF8.self)
        case .handlers:
            guard key.count <= Int(UInt16.max), value.count <= Int(UInt16.max), count < .max else { return }
            append(key)
            append(value)
            count += 1
            encoded[0] = UInt8(count & 0xFF)
            encoded[1] = UInt8(count >> 8)
        }
    }

    package mutating func add(_ key: String, _ value: String) {
        var (key, value) = (key, value)
        key.withUTF8 { key in
            value.withUTF8 { value in add(UnsafeRawBufferPointer(key), UnsafeRawBufferPointer(value)) }
        }
    }

    /// Makes what the caller did not give. After the last `add`.
    package mutating func complete() {
        if requestID.isEmpty { requestID = RequestID.make() }
        if !hasTraceParent {
            encoded.withUnsafeMutableBytes { bytes in
                TraceParent.make(UnsafeMutableRawBufferPointer(rebasing: bytes[Self.traceParentOffset...]))
            }
        }
    }

    /// Calls `body` with the value of `traceparent`.
    package func withTraceParent<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        encoded.withUnsafeBytes { bytes in
            body(
                UnsafeRawBufferPointer(
                    rebasing: bytes[Self.traceParentOffset..<Self.traceParentOffset + TraceParent.length]))
        }
    }

    /// The value of `traceparent`.
    package var traceParent: [UInt8] { withTraceParent { Array($0) } }

    private var hasTraceParent: Bool { encoded[Self.traceParentOffset] != 0 }

    private mutating func set(traceParent: some Sequence<UInt8>) {
        var offset = Self.traceParentOffset
        for byte in traceParent {
            encoded[offset] = byte
            offset += 1
        }
    }

    private mutating func append(_ part: UnsafeRawBufferPointer) {
        withUnsafeBytes(of: UInt16(part.count).littleEndian) { encoded.append(contentsOf: $0) }
        encoded.append(contentsOf: part)
    }

    private enum Kind {
        /// The transport's or the gateway's.
        case own
        case requestID
        case traceParent
        case sticky
        case handlers
    }

    private static func kind(of key: UnsafeRawBufferPointer) -> Kind {
        guard let first = key.first else { return .own }
        switch first {
        case UInt8(ascii: ":"): return .own
        case UInt8(ascii: "g"): return begins(key, "grpc-") ? .own : .handlers
        case UInt8(ascii: "d"):
            guard begins(key, "dcf-") else { return .handlers }
            return `is`(key, stickyKey) ? .sticky : .own
        case UInt8(ascii: "u"): return `is`(key, "user-agent") ? .own : .handlers
        case UInt8(ascii: "c"): return `is`(key, "content-type") ? .own : .handlers
        case UInt8(ascii: "x"): return `is`(key, requestIDKey) ? .requestID : .handlers
        case UInt8(ascii: "t"):
            if `is`(key, traceParentKey) { return .traceParent }
            return `is`(key, "te") ? .own : .handlers
        default: return .handlers
        }
    }

    private static func begins(_ key: UnsafeRawBufferPointer, _ prefix: StaticString) -> Bool {
        key.starts(with: UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount))
    }

    private static func `is`(_ key: UnsafeRawBufferPointer, _ name: StaticString) -> Bool {
        key.count == name.utf8CodeUnitCount && begins(key, name)
    }
}
