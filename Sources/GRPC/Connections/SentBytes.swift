/// A message that is being sent, as it was counted. It must be given back to where it was counted, once.
package struct SentBytes: Sendable {
    let bytes: Int
    /// Nil when it counts in all alone.
    let place: (connection: Connection, mark: ReplyMark)?
}
