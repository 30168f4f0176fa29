internal import Platform
internal import Synchronization

/// The metadata of a call on its way to a handler, encoded as in a Call frame: a count, and then pairs of strings.
///
/// Headers of the protocol that carries the call, and headers for the gateway, are left out. Credentials are left out
/// too: `authorization`, `proxy-authorization` and `cookie` never reach a handler. The first pair is always
/// `traceparent` (https://www.w3.org/TR/trace-context/): the caller's, or one made for the call.
package struct RequestMetadata: Sendable, Equatable {
    package static let requestIDKey: StaticString = "x-request-id"
    package static let traceParentKey: StaticString = "traceparent"
    private static let stickyKey: StaticString = "dcf-key"

    /// The pairs as a Call frame carries them.
    package private(set) var encoded: [UInt8]
    /// The caller's `x-request-id`, or one made for it.
    package private(set) var requestID: String
    /// The caller's `dcf-key`: calls with the same key go to the same version.
    package private(set) var key: String?
    /// The size of all the caller's headers by HTTP/2's measure (RFC 9113, 10.5.1): each pair counts its name, its
    /// value and 32 bytes.
    package private(set) var callerBytes = 0
    /// How many pairs are encoded.
    private var count: UInt16 = 1

    /// Where the value of `traceparent` lies in `encoded`: after the count, the key's length, the key (11 bytes) and
    /// the value's length.
    private static let traceParentOffset = 2 + 2 + 11 + 2

    /// Begins without any of the caller's pairs.
    ///
    /// - Parameters:
    ///   - requestID: nil has `complete` make one.
    ///   - traceParent: the `traceparent` of the call that this one is part of; nil has `complete` make one.
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
            // No value yet.
            target[17] = 0
            count = Self.traceParentOffset + TraceParent.length
        }
        if let traceParent, traceParent.count == TraceParent.length { set(traceParent: traceParent) }
    }

    /// Adds one of the caller's pairs where it is for the handler, and reads it where it is for the gateway.
    ///
    /// - Parameters:
    ///   - key: the header's name in lower case.
    ///   - policy: says which headers belong to the protocol.
    package mutating func add(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, by policy: HeaderPolicy = .none
    ) {
        callerBytes += key.count + value.count + 32
        guard !policy.withholds(key) else { return }
        switch Self.kind(of: key) {
        case .own: return
        case .requestID:
            if requestID.isEmpty, RequestID.isGood(value) { requestID = String(decoding: value, as: UTF8.self) }
        case .traceParent:
            if !hasTraceParent, TraceParent.isGood(value) { set(traceParent: value) }
        case .sticky:
            self.key = String(decoding: value, as: UTF8.self)
        case .handlers: append(key, value)
        }
    }

    /// Adds one of the caller's pairs. `key` is in lower case.
    package mutating func add(_ key: String, _ value: String, by policy: HeaderPolicy = .none) {
        var (key, value) = (key, value)
        key.withUTF8 { key in
            value.withUTF8 { add(UnsafeRawBufferPointer(key), UnsafeRawBufferPointer($0), by: policy) }
        }
    }

    /// Adds what a front tells the handler of the call. Callers cannot send such a pair.
    ///
    /// - Parameter key: begins with a colon.
    package mutating func describe(_ key: StaticString, _ value: String) {
        var value = value
        value.withUTF8 { value in
            append(
                UnsafeRawBufferPointer(start: key.utf8Start, count: key.utf8CodeUnitCount),
                UnsafeRawBufferPointer(value))
        }
    }

    /// Makes the request id and the trace that the caller did not give. Call it after the last `add`.
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

    private mutating func append(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        guard key.count <= Int(UInt16.max), value.count <= Int(UInt16.max), count < .max else { return }
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

    private enum Kind {
        /// For the gateway alone, or a credential.
        case own
        case requestID
        case traceParent
        case sticky
        case handlers
    }

    private static func kind(of key: UnsafeRawBufferPointer) -> Kind {
        guard let first = key.first else { return .own }
        switch first {
        case UInt8(ascii: "a"): return key.isEqual(to: "authorization") ? .own : .handlers
        case UInt8(ascii: "c"): return key.isEqual(to: "cookie") ? .own : .handlers
        case UInt8(ascii: "p"): return key.isEqual(to: "proxy-authorization") ? .own : .handlers
        case UInt8(ascii: "d"):
            guard key.hasPrefix("dcf-") else { return .handlers }
            return key.isEqual(to: stickyKey) ? .sticky : .own
        case UInt8(ascii: "x"): return key.isEqual(to: requestIDKey) ? .requestID : .handlers
        case UInt8(ascii: "t"): return key.isEqual(to: traceParentKey) ? .traceParent : .handlers
        default: return .handlers
        }
    }
}

/// Makes names for requests that came without one: 13 letters and digits. No other request of this gateway has the same
/// name, and most likely no request of another gateway has it.
enum RequestID {
    private static let next = Atomic<UInt64>(.random(in: 0..<1 << 62))
    private static let digits = Array("0123456789abcdefghijklmnopqrstuv".utf8)

    static func make() -> String {
        // Multiplying by an odd number makes neighbours look different and keeps all names distinct.
        var value = next.add(1, ordering: .relaxed).newValue &* 0x9E37_79B9_7F4A_7C15
        // 13 bytes fit in a small string: no allocation.
        return String(unsafeUninitializedCapacity: 13) { target in
            for index in 0..<13 {
                target[index] = digits[Int(value & 31)]
                value >>= 5
            }
            return 13
        }
    }

    /// The most bytes of a name that a caller gives.
    static let bytesMax = 128

    /// Whether a caller's name can be used: it is short and cannot break a line of a log.
    static func isGood(_ bytes: UnsafeRawBufferPointer) -> Bool {
        (1...bytesMax).contains(bytes.count) && bytes.allSatisfy { (0x21...0x7E).contains($0) }
    }
}

/// Checks and makes the header `traceparent` in version 00 (https://www.w3.org/TR/trace-context/#traceparent-header):
/// `00-`, 32 digits of the trace, `-`, 16 digits of the caller's span, `-`, 2 digits of flags.
enum TraceParent {
    /// The header's length in bytes.
    static let length = 55

    private static let next = Atomic<UInt64>(.random(in: 0...UInt64.max))
    /// The first half of the traces made here. It is not zero: a trace of zeros is not valid.
    private static let process = UInt64.random(in: 1...UInt64.max)

    /// Whether the header is valid and may be passed on unchanged.
    static func isGood(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count == length else { return false }
        for (index, byte) in bytes.enumerated() {
            let isDash = index == 2 || index == 35 || index == 52
            guard isDash ? byte == UInt8(ascii: "-") : isDigit(byte) else { return false }
        }
        // Version ff, a trace of zeros and a span of zeros are not valid.
        return !(bytes[0] == UInt8(ascii: "f") && bytes[1] == UInt8(ascii: "f"))
            && bytes[3..<35].contains { $0 != UInt8(ascii: "0") }
            && bytes[36..<52].contains { $0 != UInt8(ascii: "0") }
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    }

    /// Writes a new header, with the sampled flag, to the beginning of `target`.
    static func make(_ target: UnsafeMutableRawBufferPointer) {
        let number = next.add(1, ordering: .relaxed).newValue
        target[0] = UInt8(ascii: "0")
        target[1] = UInt8(ascii: "0")
        target[2] = UInt8(ascii: "-")
        write(process, to: target, at: 3)
        let trace = mixed(number)
        write(trace, to: target, at: 19)
        target[35] = UInt8(ascii: "-")
        // A span of zeros is not valid.
        write(max(mixed(trace ^ process), 1), to: target, at: 36)
        target[52] = UInt8(ascii: "-")
        target[53] = UInt8(ascii: "0")
        target[54] = UInt8(ascii: "1")
    }

    /// Makes neighbours look different and keeps all numbers distinct (the last step of SplitMix64).
    private static func mixed(_ number: UInt64) -> UInt64 {
        var value = number &* 0x9E37_79B9_7F4A_7C15
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    /// Writes 16 digits.
    private static func write(_ value: UInt64, to target: UnsafeMutableRawBufferPointer, at offset: Int) {
        var left = value
        for index in stride(from: offset + 15, through: offset, by: -1) {
            let digit = UInt8(truncatingIfNeeded: left & 15)
            target[index] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit
            left >>= 4
        }
    }
}
