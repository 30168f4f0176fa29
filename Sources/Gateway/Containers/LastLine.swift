/// The last line of a text that comes in parts, as far as it is kept.
struct LastLine: Sendable {
    private static let bytesMax = 1_000

    private var current: [UInt8] = []
    private var before: [UInt8] = []

    mutating func add(_ bytes: [UInt8]) {
        for byte in bytes {
            if byte == 0x0A {
                if !Self.isBlank(current) { before = current }
                current = []
            } else if current.count < Self.bytesMax {
                current.append(byte)
            }
        }
    }

    /// Without blank ones; empty where there is none.
    var text: String {
        let line = Self.isBlank(current) ? before : current
        return String(decoding: line.filter { $0 >= 0x20 }, as: UTF8.self)
    }

    private static func isBlank(_ line: [UInt8]) -> Bool { line.allSatisfy { $0 <= 0x20 } }
}
