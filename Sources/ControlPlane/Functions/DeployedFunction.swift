internal import Calls
internal import Platform

/// A deployed function: its log, its versions, and the division of its calls between them. Safe to use from any thread.
final class DeployedFunction: Sendable {
    private struct State {
        var record: FunctionRecord
        var traffic: Traffic
        /// Sorted by number.
        var versions: [DeployedVersion]
        /// The newest version that gets calls.
        var current: DeployedVersion
    }

    let name: String
    let log: FunctionLog
    private let state: Lock<State>

    /// - Parameter current: the newest of `versions` that gets calls.
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
    /// The kept versions, sorted by number.
    var versions: [DeployedVersion] { state.withLock { $0.versions } }
    /// The version that the function shows as its own: the newest one that gets calls.
    var current: DeployedVersion { state.withLock { $0.current } }

    /// The versions that get calls, sorted by number.
    var live: [DeployedVersion] {
        state.withLock { state in state.versions.filter { state.traffic.weight(of: $0.number) > 0 } }
    }

    func version(_ number: Int) -> DeployedVersion? {
        state.withLock { $0.versions.first { $0.number == number } }
    }

    var status: FunctionStatus { FunctionStatus(versions: live.map(\.status)) }

    /// Why the function does not work as it should. Empty if it does.
    var reason: String {
        live.map(\.reason).first { !$0.isEmpty } ?? ""
    }

    /// How many calls have come in all.
    var invocations: UInt64 {
        let (record, versions) = state.withLock { ($0.record, $0.versions) }
        return versions.reduce(record.invocations) { $0 + $1.route.endedCalls }
    }

    /// Replaces the versions and their weights.
    ///
    /// - Returns: the versions before.
    func update(
        record: FunctionRecord, versions: [DeployedVersion], traffic: Traffic, current: DeployedVersion
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

    func addCalls(_ count: UInt64) {
        state.withLock { $0.record.invocations += count }
    }
}

/// The deployed functions, for threads that cannot wait for the registry actor. The registry updates it at each change.
final class FunctionDirectory: Sendable {
    private let functions = Lock<[String: DeployedFunction]>([:])

    func replace(with functions: [String: DeployedFunction]) {
        let before = self.functions.withLock { current in
            defer { current = functions }
            return current
        }
        // Not under the lock: this may be the last reference to a function that is gone.
        withExtendedLifetime(before) {}
    }

    func function(named name: String) -> DeployedFunction? { functions.withLock { $0[name] } }
}
