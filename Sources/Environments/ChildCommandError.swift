/// Why a child gave no exit status.
package enum ChildCommandError: Error, Sendable, Hashable, CustomStringConvertible {
    /// It could not be started.
    case cannotStart(program: String, reason: String)
    /// It was killed, with all it had started, when its time was up.
    case timedOut(Duration)
    /// It was killed, with all it had started, because the caller's task was cancelled.
    case cancelled

    package var description: String {
        switch self {
        case .cannotStart(let program, let reason): "cannot start \(program.quotedName): \(reason)"
        case .timedOut(let limit): "it was ended after \(limit)"
        case .cancelled: "cancelled"
        }
    }
}
