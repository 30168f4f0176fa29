import Link
internal import Platform

/// The backend of a replica, which carries its watcher for one run: a process of this machine, a container, or a task
/// of a Swarm.
///
/// A backend is made for one run and runs once. All methods except `run` may be called from any thread at any time,
/// even before the watcher has started and after it has ended. They do not block.
protocol ReplicaBackend: AnyObject, Sendable {
    /// The token with which the watcher proves that it belongs to this replica.
    var token: LinkToken { get }

    /// Called when a watcher has presented the token, before any other event of that link. Runs on the link's thread
    /// and must not block.
    func linkIsKnown(_ link: ReplicaLink)

    /// Called when the link has ended.
    ///
    /// - Parameter isStopping: whether the watcher was told to end.
    func linkEnded(_ end: LinkEnd, isStopping: Bool)

    /// Whether the start waits for its turn. It does if the watcher runs on this machine.
    var takesTurn: Bool { get }

    /// Makes the source from which the watcher is started, if it does not exist yet. Called before the start waits for
    /// its turn.
    ///
    /// - Parameter onTurn: called when this work begins to wait for a turn of its own, and when that wait ends.
    /// - Throws: the reason why the source cannot be made.
    func prepare(onTurn: @escaping @Sendable (_ waits: Bool) -> Void) async throws(ConstructorFailure)

    /// Starts the watcher and waits for its end. Cancelling the task ends the watcher.
    ///
    /// - Parameter onStart: gets the watcher's process ID. It is 0 if the process is not on this machine. Must not
    ///   block.
    /// - Throws: the reason why the watcher could not be started.
    func run(onStart: @escaping @Sendable (Int32) -> Void) async throws(ConstructorFailure) -> ReplicaExit

    /// Ends a watcher in good order. It has no calls and gets none.
    func drain(_ link: ReplicaLink)

    /// Kills the watcher and everything that it started. A watcher that has not started does not start.
    func kill()

    /// Kills a watcher whose handler overran its call limit.
    func killStuck()

    /// Makes the watcher print the stacks of its threads to its log.
    func printStacks()

    /// The resident bytes of the watcher and everything that it started. Nil if it does not run, or if another party
    /// enforces its limit.
    func memory() -> UInt64?

    /// The last lines that the watcher wrote, the oldest first. After `run` has returned, the log holds all of them,
    /// too.
    var lastLines: [String] { get }

    /// The failure of a start that took longer than `limit`: it says which step was missing.
    func tooSlow(_ limit: Duration) -> ConstructorFailure
}

extension ReplicaBackend {
    var takesTurn: Bool { true }

    var lastLines: [String] { [] }

    func prepare(onTurn: @escaping @Sendable (_ waits: Bool) -> Void) async throws(ConstructorFailure) {}

    func linkIsKnown(_ link: ReplicaLink) {}

    func drain(_ link: ReplicaLink) { link.drain() }

    func killStuck() { kill() }

    /// Kills a watcher whose link has ended, because it can get no more calls. A watcher that was told to stop ends by
    /// itself.
    func linkEnded(_ end: LinkEnd, isStopping: Bool) {
        if !isStopping { kill() }
    }

    func tooSlow(_ limit: Duration) -> ConstructorFailure { constructorTooSlow(limit) }

    /// The failure of a start in which the watcher runs and the handler's constructor has not returned.
    func constructorTooSlow(_ limit: Duration) -> ConstructorFailure {
        ConstructorFailure(
            summary: "the constructor had not returned after \(limit.inSeconds) s (timeout.start)", traceback: "")
    }
}

/// The place of one replica, through all its runs: this machine, or a task slot of a Swarm.
protocol ReplicaPlacement: Sendable {
    /// Makes the backend for one run.
    ///
    /// - Parameter devices: the GPUs that the replica may use. Empty leaves this to the environment of the gateway.
    func makeBackend(devices: [GPUDevice]) -> any ReplicaBackend

    /// Gives the place up. The replica has ended and is not started again.
    func release() async
}

/// The replica that needs a place.
struct PlacementRequest: Sendable {
    var plan: FunctionPlan
    /// The replica's number.
    var number: Int
    var log: FunctionLog
    /// Whether calls wait for the replica.
    var isUrgent: @Sendable () -> Bool
}

/// Finds a place for a replica. Processes, containers and the Swarm are known to the composition of the control plane,
/// and not to supervision.
typealias ReplicaPlacer = @Sendable (PlacementRequest) async -> any ReplicaPlacement
