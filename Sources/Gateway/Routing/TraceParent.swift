internal import Synchronization

/// The header `traceparent` in version 00 (https://www.w3.org/TR/trace-context/#traceparent-header): `00-`, 32 digits
/// of the trace, `-`, 16 of the caller's span, `-`, 2 of flags.
enum TraceParent {
    /// Bytes of it.
    static let length = 55

    private static let next = Atomic<UInt64>(.random(in: 0...UInt64.max))
    /// The first half of the traces made here; not zero, which is no trace.
    private static let process = UInt64.random(in: 1...UInt64.max)

    /// Whether it may be passed on as it is.
    static func isGood(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count == length else { return false }
        for (index, byte) in bytes.enumerated() {
            let isDash = index == 2 || index == 35 || index == 52
            guard isDash ? byte == UInt8(ascii: "-") : isDigit(byte) else { return false }
        }
        // ff is no version; a trace and a span of zeros are none.
        return !(bytes[0] == UInt8(ascii: "f") && bytes[1] == UInt8(ascii: "f"))
            && bytes[3..<35].contains { $0 != UInt8(ascii: "0") }
            && bytes[36..<52].contains { $0 != UInt8(ascii: "0") }
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    }

    /// Writes a new one, sampled, to the beginning of `target`.
    static func make(_ target: UnsafeMutableRawBufferPointer) {
        let number = next.add(1, ordering: .relaxed).newValue
        target[0] = UInt8(ascii: "0")
        target[1] = UInt8(ascii: "0")
        target[2] = UInt8(ascii: "-")
        write(process, to: target, at: 3)
        let trace = mixed(number)
        write(trace, to: target, at: 19)
        target[35] = UInt8(ascii: "-")
        // Zero is no span.
        write(max(mixed(trace ^ process), 1), to: target, at: 36)
        target[52] = UInt8(ascii: "-")
        target[53] = UInt8(ascii: "0")
        target[54] = UInt8(ascii: "1")
    }

    /// Makes neighbours look unlike, and keeps all apart (the last step of SplitMix64).
    private static func mixed(_ number: UInt64) -> UInt64 {
        var value = number &* 0x9E37_79B9_7F4A_7C15
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    /// 16 digits.
    private static func write(_ value: UInt64, to target: UnsafeMutableRawBufferPointer, at offset: Int) {
        var left = value
        for index in stride(from: offset + 15, through: offset, by: -1) {
            let digit = UInt8(truncatingIfNeeded: left & 15)
            target[index] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit
            left >>= 4
        }
    }
}
