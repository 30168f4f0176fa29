/// The places in the order of locks: one may be taken while others are held only when it comes after all of them. Two of the
/// same place are never held together.

public enum LockRank: UInt8, Sendable {
    /// Of a version of a function.
    case deployedVersion
    /// Of a version's replicas.
    case replicaSet
    /// Of one replica.
    case replica
    /// Of the queue of a version's calls.
    case functionRoute
    /// Of the templates that are wanted.
    case templatePool
    /// Held while a template's messages are taken, one thread at a time.
    case templateReports
    /// Of one template.
    case templateProcess
    /// Of a Swarm's services.
    case swarmHost
    /// Held while a log's files are written or opened: for as long as the disk takes.
    case logFiles
    /// Nothing may be taken while it is held: of all others.
    case leaf
}
