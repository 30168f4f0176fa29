/// What carries a replica's watcher for one run: a process of this machine, or a container.
///
/// Made for one run, and run once. Everything but `run` may be called from any thread and at any time, also before the
/// watcher has started and after it has ended, and does not block.
protocol ReplicaBody: AnyObject, Sendable {
    /// Starts the watcher and waits for its end; cancelling the task ends it.
    ///
    /// - Parameters:
    ///   - token: which the watcher dials the gateway with.
    ///   - onStart: gets the number of the watcher's process; 0 where it is not one of this machine. Must not block.
    /// - Throws: why it could not be started.
    func run(
        _ token: LinkToken, onStart: @escaping @Sendable (Int32) -> Void
    ) async throws(ConstructorFailure) -> ReplicaExit

    /// Ends it and all it started, at once; one that has not started does not start.
    func kill()

    /// Has the watcher print where its threads are to its log.
    func printStacks()

    /// Resident bytes of all it started; nil where its limit is kept by others, or it does not run.
    func memory() -> UInt64?

    /// What had not happened yet when the time to start was over: for people.
    func tooSlow(_ limit: Duration) -> String
}

extension ReplicaBody {
    func tooSlow(_ limit: Duration) -> String {
        "the constructor had not returned after \(limit.inSeconds) s (timeout.start)"
    }
}
