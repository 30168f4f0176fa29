/// A call that was given a place at a replica and is to be written to its link.
struct SentCall {
    let invocation: Invocation
    /// Its id on the link.
    let id: UInt64
}
