internal import Locks

/// A function that is deployed: its log, its versions, and how its calls are divided between them.
final class DeployedFunction: Sendable {
    private struct State {
        var record: FunctionRecord
        var traffic: Traffic
        /// The oldest first.
        var versions: [DeployedVersion]
        /// The newest that gets calls.
        var current: DeployedVersion
    }

    let name: String
    let log: FunctionLog
    private let state: Lock<State>

    /// - Parameter current: of `versions`: the newest that gets calls.
    init(
        _ record: FunctionRecord, versions: [DeployedVersion], traffic: Traffic, current: DeployedVersion,
        log: FunctionLog
    ) {
        name = record.name
        self.log = log
        state = Lock(State(record: record, traffic: traffic, versions: versions, current: current))
    }

    var record: FunctionRecord { state.withLock { $0.record } }
    var traffic: Traffic { state.withLock { $0.traffic } }
    /// Those that are kept, the oldest first.
    var versions: [DeployedVersion] { state.withLock { $0.versions } }
    /// The one that the function shows as its own: the newest that gets calls.
    var current: DeployedVersion { state.withLock { $0.current } }

    /// The versions that get calls, the oldest first.
    var live: [DeployedVersion] {
        state.withLock { state in state.versions.filter { state.traffic.weight(of: $0.number) > 0 } }
    }

    func version(_ number: Int) -> DeployedVersion? {
        state.withLock { $0.versions.first { $0.number == number } }
    }

    var status: FunctionStatus { FunctionStatus(versions: live.map(\.status)) }

    /// Why it does not answer as it should, if so.
    var reason: String {
        live.map(\.reason).first { !$0.isEmpty } ?? ""
    }

    /// Calls that ever came.
    var invocations: UInt64 {
        let (record, versions) = state.withLock { ($0.record, $0.versions) }
        return versions.reduce(record.invocations) { $0 + $1.route.invocations }
    }

    /// Other versions, or other weights.
    ///
    /// - Returns: the versions before.
    func become(
        _ record: FunctionRecord, versions: [DeployedVersion], traffic: Traffic, current: DeployedVersion
    ) -> [DeployedVersion] {
        state.withLock { state in
            defer {
                state.record.updatedAt = record.updatedAt
                state.traffic = traffic
                state.versions = versions
                state.current = current
            }
            return state.versions
        }
    }

    func addInvocations(_ count: UInt64) {
        state.withLock { $0.record.invocations += count }
    }
}
