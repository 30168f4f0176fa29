internal import Platform

/// The pauses between the starts of one version's replicas. It outlives the version's replica sets: neither an idle
/// stop nor a new call makes a pause shorter.
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

    /// Notes that a replica died or could not be started.
    ///
    /// - Parameter reason: the reason, for people.
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

    /// Clears the failures: the next start counts as a first one.
    func clear() {
        state.withLock { state in
            state.policy.clear()
            state = State(policy: state.policy)
        }
    }

    /// How long a new replica must wait, and why. Nil if it need not wait.
    var current: (pause: Duration, reason: String)? {
        let now = MonotonicTime.now
        return state.withLock { state in
            guard now < state.until else { return nil }
            return (.nanoseconds(state.until.nanoseconds(since: now)), state.reason)
        }
    }
}
