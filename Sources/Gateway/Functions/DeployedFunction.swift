internal import Synchronization

/// A function that is deployed: its route, its log, and the replicas of its current version.
final class DeployedFunction: Sendable {
    private struct State {
        var record: FunctionRecord
        var set: ReplicaSet?
        /// Why there are no replicas at all.
        var problem: String?
    }

    let name: String
    let route: FunctionRoute
    let log: FunctionLog
    private let state: Mutex<State>

    init(record: FunctionRecord, route: FunctionRoute, log: FunctionLog) {
        name = record.name
        self.route = route
        self.log = log
        state = Mutex(State(record: record))
    }

    var record: FunctionRecord { state.withLock { $0.record } }
    var set: ReplicaSet? { state.withLock { $0.set } }
    var problem: String? { state.withLock { $0.problem ?? $0.set?.failure } }

    /// Makes `set` the current version.
    ///
    /// - Returns: the one before.
    func become(_ record: FunctionRecord, _ set: ReplicaSet) -> ReplicaSet? {
        state.withLock { state in
            state.record = record
            state.problem = nil
            defer { state.set = set }
            return state.set
        }
    }

    /// It cannot be started at all.
    func give(up reason: String) {
        state.withLock { $0.problem = reason }
        route.fail(reason: reason)
    }

    func setReplicas(_ count: Int) {
        state.withLock { $0.record.replicas = count }
    }

    func addInvocations(_ count: UInt64) {
        state.withLock { $0.record.invocations += count }
    }

    var status: FunctionStatus {
        let (wanted, set, problem) = state.withLock { ($0.record.replicas, $0.set, $0.problem) }
        return FunctionStatus(replicas: set?.shown ?? [], wanted: wanted, failure: problem ?? set?.failure)
    }
}
