/// What replicas add up to. Derived each time it is asked for, never stored.
package enum FunctionStatus: String, Sendable, CaseIterable {
    /// No replica is Ready, and none has failed to become so.
    case starting = "Starting"
    /// As many replicas are Ready as are wanted.
    case ready = "Ready"
    /// Fewer are.
    case degraded = "Degraded"
    /// It has been given up, until an update, a replace or a restart.
    case failed = "Failed"
    /// Nothing runs; the next call starts it.
    case idle = "Idle"

    /// Of one version that runs, or should.
    ///
    /// - Parameters:
    ///   - failure: why it was given up, if so.
    init(replicas: [ReplicaState], wanted: Int, failure: String?) {
        let ready = replicas.count { $0.phase == .ready }
        if failure != nil {
            self = .failed
        } else if ready >= wanted {
            self = .ready
        } else if ready == 0, replicas.allSatisfy({ $0.restarts == 0 && $0.reason.isEmpty }) {
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
