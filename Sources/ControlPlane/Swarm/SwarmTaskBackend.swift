internal import Engine
internal import FunctionConfig
internal import Link
internal import Platform

/// A replica in a task of a Swarm's service: the next task that dials carries it.
///
/// The run lasts as long as the link. When a task's link ends, its watcher ends, and the Swarm starts another task.
final class SwarmTaskBackend: ReplicaBackend {
    private struct State {
        var link: ReplicaLink?
        var killRequested = false
    }

    /// How often and at which interval the engine is asked how a task ended.
    private static let verdictTries = 10
    private static let verdictPause = Duration.milliseconds(100)

    let number: Int
    private let slot: TaskSlot
    private let state = Lock(State())
    private let end = Promise<Result<ReplicaExit, ConstructorFailure>>()

    init(_ slot: TaskSlot) {
        self.slot = slot
        number = slot.number
    }

    private var service: SwarmService { slot.service }

    /// All replicas of the version show the same token.
    var token: LinkToken { service.token }

    func run(onStart: @escaping @Sendable (Int32) -> Void) async throws(ConstructorFailure) -> ReplicaExit {
        service.enqueue(self)
        defer { service.remove(self) }
        guard let result = await end.value() else {
            kill()
            return .unknown("it was stopped")
        }
        return try result.get()
    }

    /// Ends the run: no task could be started for it.
    func fail(_ reason: String) {
        end.settle(.failure(ConstructorFailure(summary: reason, traceback: "", isElsewhere: true)))
    }

    /// Ends the run: a task that might have carried it ended before it dialled.
    func ended(_ exit: ReplicaExit) {
        end.settle(.success(exit))
    }

    /// Ends the run: the manager reports the task's node as down, before the link has ended.
    func nodeIsDown() {
        end.settle(.success(.task("its node is down")))
    }

    // MARK: The link

    func linkIsKnown(_ link: ReplicaLink) {
        let killRequested = state.withLock { state in
            state.link = link
            return state.killRequested
        }
        slot.assign(link.task)
        service.assign(link.task, to: self)
        if killRequested { link.end("the replica was stopped") }
    }

    func linkEnded(_ link: LinkEnd, isStopping: Bool) {
        let (task, killRequested) = state.withLock { ($0.link?.task ?? "", $0.killRequested) }
        guard !isStopping, !killRequested else {
            end.settle(.success(.status(0)))
            return
        }
        guard !service.isShared else {
            end.settle(.success(.task("the link to its task has ended (\(link))")))
            return
        }
        // The manager reports a lost node much later.
        guard !link.isTimeout else {
            end.settle(.success(.task("its node cannot be reached (\(link))")))
            return
        }
        service.host.tasks.add { [self] in await end.settle(.success(verdict(task, "\(link)"))) }
    }

    /// Asks the engine how the task ended.
    private func verdict(_ task: String, _ reason: String) async -> ReplicaExit {
        for _ in 0..<Self.verdictTries {
            if let found = try? await service.host.tasksNow().first(where: { $0.id == task }), found.hasEnded {
                return TaskEnd.exit(found, memory: service.plan.config.limits.memory)
            }
            do { try await Task.sleep(for: Self.verdictPause) } catch { break }
        }
        return .task("the link to its task has ended (\(reason))")
    }

    // MARK: ReplicaBackend

    func drain(_ link: ReplicaLink) {
        // When the task goes on, only this link ends.
        if taskGoesOn { link.end("the replica was stopped") } else { link.drain() }
    }

    /// Whether the task goes on without this gateway: another gateway owns it, or the group uses it.
    private var taskGoesOn: Bool { service.isShared || service.host.keepsServices }

    func kill() {
        kill(stopping: !taskGoesOn)
    }

    func killStuck() {
        kill(stopping: true)
    }

    /// - Parameter isStopping: whether the task ends too, even when it has links with other gateways.
    private func kill(stopping isStopping: Bool) {
        let link = state.withLock { state in
            state.killRequested = true
            return state.link
        }
        if isStopping { link?.stop() }
        link?.end("the replica was stopped")
        end.settle(.success(.signal(9)))
    }

    /// The request goes over the link: a signal does not reach another machine.
    func printStacks() {
        state.withLock { $0.link }?.printStacks()
    }

    /// Nil: the engine keeps the memory limit.
    func memory() -> UInt64? { nil }

    /// False: the task may run on another machine.
    var takesTurn: Bool { false }

    func tooSlow(_ limit: Duration) -> ConstructorFailure {
        guard state.withLock({ $0.link == nil }) else {
            return constructorTooSlow(limit)
        }
        return ConstructorFailure(
            summary:
                "no task of it had dialled the gateway after \(limit.inSeconds) s (timeout.start): \(service.waitReason)",
            traceback: "", isElsewhere: true)
    }
}

/// Turns the engine's report of a task's end into a replica's exit or a sentence for the user.
enum TaskEnd {
    private static let status = "task: non-zero exit ("

    /// - Parameter memory: the task's memory limit in bytes.
    static func exit(_ task: SwarmTask, memory: UInt64?) -> ReplicaExit {
        if task.state == "complete" { return .status(0) }
        guard task.message.hasPrefix(status),
            let number = Int32(task.message.dropFirst(status.count).prefix { $0 != ")" })
        else { return .task(task.message.isEmpty ? task.state : task.message) }
        if number == 137 {
            let limit = memory.map { "by the memory limit: limits.memory is \(ByteSize.text($0))" }
            return .task("killed, maybe \(limit ?? "because its node had no memory left")")
        }
        if number > 128, number <= 128 + 64 { return .signal(number - 128) }
        return .status(number)
    }

    /// Says why a task could not be started.
    ///
    /// - Parameter node: the node that refused the task.
    static func refusal(_ task: SwarmTask, image: String, node: String) -> String {
        let place = node.isEmpty ? "" : "node \(node): "
        guard EngineMessage.noImage.isSaid(in: task.message) else { return place + task.message }
        let hint =
            image.hasPrefix("sha256:")
            ? "it was never pushed to a registry, and this node has no copy (dcf function create --registry HOST:PORT)"
            : "it is not in the registry, or the registry refuses, or cannot be reached from that node"
        return "\(place)it cannot get the image \(image): \(hint)"
    }
}
