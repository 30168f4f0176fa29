/// What becomes of a link whose watcher has said who it is.
enum LinkAdmission {
    /// It is this observer's.
    case observer(any ReplicaLinkObserver, token: String)
    /// The token is good, and nobody expects it at the moment.
    case waits(token: String)
    /// No token that was given out.
    case refused
}
