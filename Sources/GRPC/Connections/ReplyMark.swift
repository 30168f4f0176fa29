/// A message that is being sent, as its connection's ``ReplyLedger`` knows it.
struct ReplyMark: Sendable {
    let bytes: Int
    /// What had been written before it.
    let begin: Int
    /// What will have been written when it is gone for sure.
    let end: Int
}
