/// What replicas add up to. Derived each time it is asked for, never stored.
package enum FunctionStatus: String, Sendable, CaseIterable {
    /// No replica is Ready, and none has failed to become so; it may wait for its turn.
    case starting = "Starting"
    /// As many replicas are Ready as are wanted.
    case ready = "Ready"
    /// Fewer are: what failed is tried again.
    case degraded = "Degraded"
    /// Only its author can mend it: by an update or a replace.
    case failed = "Failed"
    /// Nothing runs; the next call starts it.
    case idle = "Idle"

    /// Of one version that runs, or should.
    ///
    /// - Parameters:
    ///   - hasFailed: whether it could not be started, so that there are no replicas.
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

    /// Of a function, from those of the versions that get its calls.
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
