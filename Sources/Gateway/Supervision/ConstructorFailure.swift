/// A replica that never became Ready, in its author's terms.
struct ConstructorFailure: Error, Sendable, Equatable {
    /// One line, with file and line: `ValueError: bad weights (handler.py:12)`.
    var summary: String
    /// The whole Python traceback; empty when there was none.
    var traceback: String
    /// What its process wrote last, besides the traceback.
    var lastLines: [String] = []
    /// Whether the cause is not the handler's own code: see `DeathCause`.
    var isElsewhere = false

    var cause: DeathCause { isElsewhere ? .elsewhere : .handler }
}
