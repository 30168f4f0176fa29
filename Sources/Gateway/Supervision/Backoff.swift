internal import GRPC
internal import Locks

/// When the replicas of one version may be started again. It outlives the sets of its replicas: that a function stopped while
/// it was idle, or that a call comes, makes no wait shorter.
final class Backoff: Sendable {
    private struct State {
        var policy: RestartPolicy
        var until = MonotonicTime(nanoseconds: .min)
        var reason = ""
    }

    private let state: Lock<State>

    init(_ policy: RestartPolicy = RestartPolicy()) {
        state = Lock(State(policy: policy))
    }

    /// A replica died, or could not be started.
    ///
    /// - Parameter reason: for people.
    /// - Returns: how long to wait before the next start.
    func died(_ cause: DeathCause, hadAnswered: Bool, because reason: String) -> Duration {
        let now = MonotonicTime.now
        let chance = Double.random(in: 0..<1)
        return state.withLock { state in
            let pause = state.policy.died(cause, hadAnswered: hadAnswered, chance: chance)
            state.until = now.advanced(by: pause)
            state.reason = reason
            return pause
        }
    }

    /// The next start is a first one.
    func clear() {
        state.withLock { state in
            state.policy.clear()
            state = State(policy: state.policy)
        }
    }

    /// How long a new replica has to wait, and why; nil where it need not.
    var current: (pause: Duration, reason: String)? {
        let now = MonotonicTime.now
        return state.withLock { state in
            guard now < state.until else { return nil }
            return (.nanoseconds(state.until.nanoseconds(since: now)), state.reason)
        }
    }
}
