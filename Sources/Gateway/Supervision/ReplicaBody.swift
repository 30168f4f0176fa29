/// What carries a replica's watcher for one run: a process of this machine, a container, or a task of a Swarm.
///
/// Made for one run, and run once. Everything but `run` may be called from any thread and at any time, also before the
/// watcher has started and after it has ended, and does not block.
protocol ReplicaBody: AnyObject, Sendable {
    /// What its watcher shows that it is this replica's.
    var token: LinkToken { get }

    /// A watcher has shown the token: before anything else of that link. On the links' thread; must not block.
    func linkIsKnown(_ link: ReplicaLink)

    /// The link has ended.
    ///
    /// - Parameter isStopping: whether the watcher was told to end.
    func linkEnded(_ reason: String, isStopping: Bool)

    /// Whether it waits for its turn to start: what it runs on is this machine.
    var takesTurn: Bool { get }

    /// Makes what the watcher is started from, if that is yet to be made, before it is its turn to start.
    ///
    /// - Parameter onTurn: whether that waits for a turn of its own, when the wait begins and when it ends.
    /// - Throws: why it cannot be made.
    func prepare(onTurn: @escaping @Sendable (_ waits: Bool) -> Void) async throws(ConstructorFailure)

    /// Starts the watcher and waits for its end; cancelling the task ends it.
    ///
    /// - Parameter onStart: gets the number of the watcher's process; 0 where it is not one of this machine. Must not block.
    /// - Throws: why it could not be started.
    func run(onStart: @escaping @Sendable (Int32) -> Void) async throws(ConstructorFailure) -> ReplicaExit

    /// It has nothing to do any more, and gets nothing: ends it in good order.
    func drain(_ link: ReplicaLink)

    /// Ends it and all it started, at once; one that has not started does not start.
    func kill()

    /// The same of one whose handler was at a call for longer than it may.
    func killStuck()

    /// Has the watcher print where its threads are to its log.
    func printStacks()

    /// Resident bytes of all it started; nil where its limit is kept by others, or it does not run.
    func memory() -> UInt64?

    /// What its watcher wrote last, the oldest first: once `run` has returned, all of it is in the log, too.
    var lastLines: [String] { get }

    /// What had not happened yet when the time to start was over.
    func tooSlow(_ limit: Duration) -> ConstructorFailure
}

extension ReplicaBody {
    var takesTurn: Bool { true }

    var lastLines: [String] { [] }

    func prepare(onTurn: @escaping @Sendable (_ waits: Bool) -> Void) async throws(ConstructorFailure) {}

    func linkIsKnown(_ link: ReplicaLink) {}

    func drain(_ link: ReplicaLink) { link.drain() }

    func killStuck() { kill() }

    /// It cannot be called any more. One that is told to stop ends its link and then itself.
    func linkEnded(_ reason: String, isStopping: Bool) {
        if !isStopping { kill() }
    }

    func tooSlow(_ limit: Duration) -> ConstructorFailure { constructorTooSlow(limit) }

    /// The watcher runs, and its handler's constructor goes on.
    func constructorTooSlow(_ limit: Duration) -> ConstructorFailure {
        ConstructorFailure(
            summary: "the constructor had not returned after \(limit.inSeconds) s (timeout.start)", traceback: "")
    }
}
