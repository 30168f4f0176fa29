/// What a deploy tells while it is under way.
enum DeployProgress: Sendable {
    /// A step that began.
    case step(String)
    /// A line of pip's own output.
    case output(String)
    /// The whole traceback of a constructor that raised; the error follows.
    case traceback(String)
}
