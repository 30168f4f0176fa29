internal import Foundation

/// Reads the head of the answer to an attach: `101 UPGRADED`, or an error.
struct AttachAnswer {
    private static let bytesMax = 64 << 10
    private static let end = Array("\r\n\r\n".utf8)

    private let what: String
    private var head: [UInt8] = []
    private(set) var isComplete = false

    /// - Parameter what: the beginning of every error text, such as `cannot follow what container X writes`.
    init(what: String) {
        self.what = what
    }

    /// Adds bytes of the answer.
    ///
    /// - Returns: the bytes after the head. Nil while the head is incomplete.
    /// - Throws: the engine's error.
    mutating func feed(_ bytes: some Collection<UInt8>) throws(EngineError) -> ArraySlice<UInt8>? {
        head += bytes
        guard let end = head.firstRange(of: Self.end) else {
            guard head.count <= Self.bytesMax else { throw EngineError(.failed, "\(what): the answer is not HTTP") }
            return nil
        }
        let line = String(decoding: head.prefix { $0 != 0x0D }, as: UTF8.self)
        let words = line.split(separator: " ", maxSplits: 2)
        guard words.count >= 2, words[0].hasPrefix("HTTP/"), let status = UInt(words[1]) else {
            throw EngineError(.failed, "\(what): the answer is not HTTP: \(line)")
        }
        guard status == 101 || status == 200 else {
            throw EngineError(
                status: status, message: Engine.message(in: Array(head[end.upperBound...])) ?? line, doing: what)
        }
        isComplete = true
        return head[end.upperBound...]
    }
}
