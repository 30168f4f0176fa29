/// A container that a gateway before this one left running, and whose token it kept.
struct LeftContainer: Sendable {
    var id: String
    var name: String
    var function: String
    var version: Int
    var replica: Int
    var token: LinkToken
    /// When the last line of its function's log was written, in milliseconds since 1970; nil where there is none.
    var lastLine: Int64?
}
