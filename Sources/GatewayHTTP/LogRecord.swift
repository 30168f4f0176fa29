/// One line of a function's log as JSON. Its text form is in docs/operations.md.
struct LogRecord: Encodable, Equatable {
    var time: String
    var replica: Int
    /// `stdout`, `stderr` or `gateway`.
    var stream: String
    /// The id of the request that the line was written for.
    var request: String?
    var text: String

    /// Reads `TIME REPLICA STREAM REQUEST TEXT`, without the line's end; nil for anything else.
    init?(_ line: Substring) {
        let words = line.split(separator: " ", maxSplits: 4, omittingEmptySubsequences: false)
        guard words.count == 5, let replica = Int(words[1]) else { return nil }
        time = String(words[0])
        self.replica = replica
        stream = String(words[2])
        request = words[3] == "-" ? nil : String(words[3])
        text = String(words[4])
    }
}

/// Cuts the text of a log, which comes in pieces of any length, into lines.
struct LogRecords {
    private var rest: [UInt8] = []

    /// The lines that are complete with this piece.
    mutating func append(_ piece: some Collection<UInt8>) -> [LogRecord] {
        rest += piece
        guard let end = rest.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
        let whole = String(decoding: rest[..<end], as: UTF8.self)
        rest.removeSubrange(...end)
        return whole.split(separator: "\n").compactMap { LogRecord($0) }
    }
}
