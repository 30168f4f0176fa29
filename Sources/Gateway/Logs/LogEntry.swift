/// Bytes that are to be written to a log: a whole line with its end.
struct LogEntry: Sendable {
    let bytes: [UInt8]
    /// How many lines are lost where it cannot be written: more than itself, where it tells of others.
    let lines: Int
}
