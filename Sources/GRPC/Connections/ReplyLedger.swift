/// Counts the messages to one connection's client that the client has not read. A value.
///
/// The core reports a message as sent when it has added it to its next writes, which may hold all of it: it is written
/// only as the client reads. So a message counts until the bytes that were written since, which are seen at the socket,
/// suffice for everything that lay before it.
struct ReplyLedger {
    /// The bytes that the core has not reported as sent.
    private var held = 0
    /// The bytes that the core has reported as sent and that may not be written yet.
    private var leaving = 0
    /// How many bytes will have been written once all of `leaving` are certainly written.
    private var leavingEnd = 0
    /// How many bytes of messages were written in all.
    private var written = 0
    /// Whether the last write left nothing behind.
    private var isWritten = true

    /// How many bytes count: the client has not read them.
    var bytes: Int { held + leaving }

    /// Counts a message that goes to the core.
    ///
    /// - Returns: the mark for `end`.
    mutating func begin(_ bytes: Int) -> ReplyMark {
        held += bytes
        return ReplyMark(bytes: bytes, begin: written, end: written + held + leaving)
    }

    /// The core has sent a message, or its call has ended.
    ///
    /// - Returns: how many bytes do not count any more.
    mutating func end(_ mark: ReplyMark, isSent: Bool) -> Int {
        held -= mark.bytes
        guard isSent, written < mark.end else { return mark.bytes }
        leaving += mark.bytes
        leavingEnd = max(leavingEnd, mark.end)
        return written - mark.begin >= mark.bytes ? releaseWritten() : 0
    }

    /// `bytes` of messages were written to the socket.
    ///
    /// - Parameter isAll: whether nothing was left to write.
    /// - Returns: how many bytes do not count any more.
    mutating func wrote(_ bytes: Int, isAll: Bool) -> Int {
        written += bytes
        isWritten = isAll
        return releaseWritten()
    }

    /// The connection is closed: nothing is written any more.
    ///
    /// - Returns: how many bytes do not count any more.
    mutating func close() -> Int {
        defer { leaving = 0 }
        return leaving
    }

    /// Stops counting `leaving` once they are certainly written.
    private mutating func releaseWritten() -> Int {
        guard leaving > 0, written >= leavingEnd || (held == 0 && isWritten) else { return 0 }
        defer { leaving = 0 }
        return leaving
    }
}

/// A message that is being sent, as its connection's ``ReplyLedger`` knows it.
struct ReplyMark: Sendable {
    let bytes: Int
    /// How many bytes had been written when it began.
    let begin: Int
    /// How many bytes will have been written once it is certainly written.
    let end: Int
}
