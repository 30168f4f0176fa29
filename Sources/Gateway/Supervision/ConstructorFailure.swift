/// A replica that never became Ready, in its author's terms.
struct ConstructorFailure: Error, Sendable, Equatable {
    /// One line, with file and line: `ValueError: bad weights (handler.py:12)`.
    var summary: String
    /// The whole Python traceback; empty when there was none.
    var traceback: String
    /// What would have run it cannot be reached: nothing that its function is given up for.
    var isElsewhere = false
}
