internal import Synchronization

/// Names for requests whose callers gave none: 13 letters and digits that no other request of this gateway has, nor,
/// most likely, one of another gateway.
enum RequestID {
    private static let next = Atomic<UInt64>(.random(in: 0..<1 << 62))
    private static let digits = Array("0123456789abcdefghijklmnopqrstuv".utf8)

    static func make() -> String {
        // An odd factor makes neighbours look different, and keeps all apart.
        var value = next.add(1, ordering: .relaxed).newValue &* 0x9E37_79B9_7F4A_7C15
        // Fits in a small string: no allocation.
        return String(unsafeUninitializedCapacity: 13) { target in
            for index in 0..<13 {
                target[index] = digits[Int(value & 31)]
                value >>= 5
            }
            return 13
        }
    }

    /// The longest that a caller may give, in bytes.
    static let bytesMax = 128

    /// Whether a caller's own can be used: short, and nothing that would break a line of a log.
    static func isGood(_ bytes: UnsafeRawBufferPointer) -> Bool {
        (1...bytesMax).contains(bytes.count) && bytes.allSatisfy { (0x21...0x7E).contains($0) }
    }
}
