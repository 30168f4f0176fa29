/// How the life of one process of a replica ended.
enum ReplicaEnd: Sendable {
    /// It was told to.
    case stopped
    /// It was not.
    ///
    /// - Parameters:
    ///   - how: for people: `signal 9 (SIGKILL)`.
    ///   - cause: what it died of.
    ///   - hadAnswered: whether it had answered a call since it became Ready.
    ///   - failure: why it never became Ready, if so.
    case died(how: String, cause: DeathCause, hadAnswered: Bool, failure: ConstructorFailure?)
}
