internal import Engine
internal import FunctionConfig
internal import Locks

/// A replica in a task of a Swarm's service: whichever task dials in next is it.
///
/// Its life is that of the link: the watcher of a task whose link ends, ends, and the Swarm starts another.
final class SwarmBody: ReplicaBody {
    private struct State {
        var link: ReplicaLink?
        var isCondemned = false
    }

    /// How long the engine may take to say how a task ended.
    private static let verdictTries = 10
    private static let verdictPause = Duration.milliseconds(100)

    let number: Int
    private let seat: SwarmSeat
    private let state = Lock(State())
    private let end = Promise<Result<ReplicaExit, ConstructorFailure>>()

    init(seat: SwarmSeat) {
        self.seat = seat
        number = seat.number
    }

    private var service: SwarmService { seat.service }

    /// All replicas of the version show the same one.
    var token: LinkToken { service.token }

    func run(onStart: @escaping @Sendable (Int32) -> Void) async throws(ConstructorFailure) -> ReplicaExit {
        service.wait(self)
        defer { service.forget(self) }
        guard let result = await end.value() else {
            kill()
            return .unknown("it was stopped")
        }
        return try result.get()
    }

    /// No task of it came to be.
    func fail(_ reason: String) {
        end.settle(.failure(ConstructorFailure(summary: reason, traceback: "", isElsewhere: true)))
    }

    /// A task that may have been its ended before it dialled.
    func ended(_ exit: ReplicaExit) {
        end.settle(.success(exit))
    }

    /// The manager knows before the link does.
    func isLost() {
        end.settle(.success(.task("its node is down")))
    }

    // MARK: The link

    func linkIsKnown(_ link: ReplicaLink) {
        let isCondemned = state.withLock { state in
            state.link = link
            return state.isCondemned
        }
        seat.took(link.task)
        service.took(link.task, self)
        if isCondemned { link.end("the replica was stopped") }
    }

    func linkEnded(_ reason: String, isStopping: Bool) {
        let (task, isCondemned) = state.withLock { ($0.link?.task ?? "", $0.isCondemned) }
        guard !isStopping, !isCondemned else {
            end.settle(.success(.status(0)))
            return
        }
        guard !service.isShared else {
            end.settle(.success(.task("its task has left (\(reason))")))
            return
        }
        // The manager learns of a lost node much later.
        guard !reason.contains("timed out") else {
            end.settle(.success(.task("its node cannot be reached (\(reason))")))
            return
        }
        service.host.tasks.add { [self] in await end.settle(.success(verdict(task, reason))) }
    }

    private func verdict(_ task: String, _ reason: String) async -> ReplicaExit {
        for _ in 0..<Self.verdictTries {
            if let found = try? await service.host.tasksNow().first(where: { $0.id == task }), found.hasEnded {
                return TaskEnd.exit(found, memory: service.plan.config.limits.memory)
            }
            do { try await Task.sleep(for: Self.verdictPause) } catch { break }
        }
        return .task("its task has left (\(reason))")
    }

    // MARK: ReplicaBody

    func drain(_ link: ReplicaLink) {
        // A task of another gateway's goes on; only this link has an end.
        if staysBehind { link.end("the replica was stopped") } else { link.drain() }
    }

    /// The task is not this gateway's to end.
    private var staysBehind: Bool { service.isShared || service.host.outlivesThis }

    func kill() {
        kill(stopping: !staysBehind)
    }

    func killStuck() {
        kill(stopping: true)
    }

    /// - Parameter isStopping: whether the task ends, too, where it has links with other gateways.
    private func kill(stopping isStopping: Bool) {
        let link = state.withLock { state in
            state.isCondemned = true
            return state.link
        }
        if isStopping { link?.stop() }
        link?.end("the replica was stopped")
        end.settle(.success(.signal(9)))
    }

    /// Nothing reaches a process of another machine but its link.
    func printStacks() {
        state.withLock { $0.link }?.printStacks()
    }

    /// The engine keeps its limit.
    func memory() -> UInt64? { nil }

    /// Its node is another machine.
    var takesTurn: Bool { false }

    func tooSlow(_ limit: Duration) -> ConstructorFailure {
        guard state.withLock({ $0.link == nil }) else {
            return constructorTooSlow(limit)
        }
        return ConstructorFailure(
            summary:
                "no task of it had dialled the gateway after \(limit.inSeconds) s (timeout.start): \(service.standing)",
            traceback: "", isElsewhere: true)
    }
}
