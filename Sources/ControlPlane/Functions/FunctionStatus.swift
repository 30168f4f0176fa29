/// The status of a function or a version. It is derived from the replicas each time, and never stored.
package enum FunctionStatus: String, Sendable, CaseIterable {
    /// No replica is Ready, and none has failed yet. A replica may wait for its turn to start.
    case starting = "Starting"
    /// At least as many replicas are Ready as are wanted.
    case ready = "Ready"
    /// Fewer replicas are Ready than are wanted. Failed replicas are started again.
    case degraded = "Degraded"
    /// Only the author can repair it, by an update or a replace.
    case failed = "Failed"
    /// Nothing runs; the next call starts it.
    case idle = "Idle"

    /// The status of a version that runs, or should run.
    ///
    /// - Parameters:
    ///   - wanted: how many replicas the version should have.
    ///   - hasFailed: whether the last start of the version failed, so that it has no replicas.
    init(replicas: [ReplicaState], wanted: Int, hasFailed: Bool) {
        let ready = replicas.count { $0.phase == .ready }
        if ready >= wanted {
            self = .ready
        } else if ready == 0, !hasFailed, replicas.allSatisfy({ $0.restarts == 0 && $0.phase != .waiting }) {
            self = .starting
        } else {
            self = .degraded
        }
    }

    /// The status of a function, from the statuses of the versions that get its calls.
    package init(versions: [FunctionStatus]) {
        let all = Set(versions)
        if all.count == 1, let one = all.first {
            self = one
        } else if all.isSubset(of: [.ready, .idle]) {
            self = .ready
        } else {
            self = .degraded
        }
    }

    /// Whether calls are answered.
    var serves: Bool { self == .ready || self == .idle }
}
