/// What a connection's client has not taken of the messages that it was sent.
///
/// The core says of a message that it is sent when it has put it into what it writes next, which may be all of it: from
/// there it goes as the client reads. So a message counts until the bytes that were written since, and that is seen at the
/// socket, are enough for all that lay before it.
struct ReplyLedger {
    /// With the core.
    private var held = 0
    /// The core says that they are sent.
    private var leaving = 0
    /// How many bytes will have been written when all of `leaving` are gone for sure.
    private var leavingEnd = 0
    /// Bytes of messages that were written in all.
    private var written = 0
    /// Whether the last write left nothing behind.
    private var isWritten = true

    /// Bytes that the client has not taken.
    var bytes: Int { held + leaving }

    /// A message goes to the core.
    ///
    /// - Returns: what `sent` is to be told of it.
    mutating func begin(_ bytes: Int) -> ReplyMark {
        held += bytes
        return ReplyMark(bytes: bytes, begin: written, end: written + held + leaving)
    }

    /// The core says that a message is sent, or that its call has ended.
    ///
    /// - Returns: the bytes that do not count any more.
    mutating func end(_ mark: ReplyMark, isSent: Bool) -> Int {
        held -= mark.bytes
        guard isSent, written < mark.end else { return mark.bytes }
        leaving += mark.bytes
        leavingEnd = max(leavingEnd, mark.end)
        return written - mark.begin >= mark.bytes ? settle() : 0
    }

    /// So many bytes of messages were written.
    ///
    /// - Parameter isAll: whether that was all there was to write.
    /// - Returns: the bytes that do not count any more.
    mutating func wrote(_ bytes: Int, isAll: Bool) -> Int {
        written += bytes
        isWritten = isAll
        return settle()
    }

    /// The connection is closed: nothing leaves it any more.
    ///
    /// - Returns: the bytes that do not count any more.
    mutating func close() -> Int {
        defer { leaving = 0 }
        return leaving
    }

    private mutating func settle() -> Int {
        guard leaving > 0, written >= leavingEnd || (held == 0 && isWritten) else { return 0 }
        defer { leaving = 0 }
        return leaving
    }
}
