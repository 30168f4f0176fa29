/// When a replica that died is started again, and when its function is given up.
///
/// At once the first time, then after 0.1 s, doubled each time up to 30 s, with jitter; five deaths within 60 s fail the function.
/// Only a death of a replica that had answered no call since it became Ready counts; an answer clears everything. A value:
/// time and chance come from outside.
package struct RestartPolicy: Sendable, Equatable {
    package struct Limits: Sendable, Equatable {
        package var firstDelay = Duration.milliseconds(100)
        package var delayMax = Duration.seconds(30)
        /// This many deaths within `window` fail the function.
        package var deathsMax = 5
        package var window = Duration.seconds(60)
        /// A delay is cut by a random part of up to this much of it, so that replicas do not all start together.
        package var jitter = 0.25

        package init() {}
    }

    package enum Decision: Sendable, Equatable {
        case restart(after: Duration)
        /// The function is Failed.
        case giveUp(deaths: Int, window: Duration)
    }

    private let limits: Limits
    /// When the deaths that count were, the oldest first, since some fixed moment.
    private var deaths: [Duration] = []
    /// Counted deaths in a row, which the next delay follows from.
    private var streak = 0

    package init(limits: Limits = Limits()) {
        self.limits = limits
    }

    /// A replica died.
    /// - Parameters:
    ///   - hadAnswered: whether it had answered a call since it became Ready.
    ///   - now: the time since some fixed moment, never going back.
    ///   - chance: a random number from 0 up to 1.
    package mutating func died(hadAnswered: Bool, now: Duration, chance: Double) -> Decision {
        if hadAnswered { return .restart(after: .zero) }
        deaths.append(now)
        deaths.removeAll { now - $0 >= limits.window }
        if deaths.count >= limits.deathsMax { return .giveUp(deaths: deaths.count, window: limits.window) }
        defer { streak += 1 }
        if streak == 0 { return .restart(after: .zero) }
        var delay = limits.firstDelay
        for _ in 1..<streak where delay < limits.delayMax { delay *= 2 }
        return .restart(after: min(delay, limits.delayMax) * (1 - limits.jitter * min(max(chance, 0), 1)))
    }

    /// A replica answered a call.
    package mutating func answered() {
        deaths.removeAll()
        streak = 0
    }
}
