/// How long a version waits before a replica that died is started again. A pure value: chance comes from outside.
///
/// At once the first time, then after 0.1 s, doubled each time up to 30 s, with jitter, for as long as it takes: a function that
/// was Ready once is never given up. Only a death that the handler's own code caused makes the wait longer, and only that of a
/// replica that had answered no call since it became Ready; an answer clears everything. What is not the function's fault is
/// tried again at once, then after 0.1 s, doubled up to 2 s, and leaves the other wait as it is.
package struct RestartPolicy: Sendable, Equatable {
    package struct Limits: Sendable, Equatable {
        package var firstDelay = Duration.milliseconds(100)
        package var delayMax = Duration.seconds(30)
        /// The most where the cause is elsewhere: what the machine lacks for a moment is there soon after it is back.
        package var elsewhereDelayMax = Duration.seconds(2)
        /// A delay is cut by a random part of up to this much of it, so that replicas do not all start together.
        package var jitter = 0.25

        package init() {}
    }

    private let limits: Limits
    /// Deaths in a row that the handler's own code caused.
    private var streak = 0
    /// Deaths in a row with a cause elsewhere.
    private var elsewhere = 0

    package init(limits: Limits = Limits()) {
        self.limits = limits
    }

    /// A replica died, or could not be started.
    ///
    /// - Parameters:
    ///   - hadAnswered: whether it had answered a call since it became Ready.
    ///   - chance: a random number from 0 up to 1.
    /// - Returns: how long to wait before the next start.
    package mutating func died(_ cause: DeathCause, hadAnswered: Bool, chance: Double) -> Duration {
        if hadAnswered {
            clear()
            return .zero
        }
        switch cause {
        case .elsewhere:
            defer { elsewhere += 1 }
            return elsewhere == 0 ? .zero : delay(elsewhere, upTo: limits.elsewhereDelayMax, chance)
        case .handler:
            elsewhere = 0
            defer { streak += 1 }
            return streak == 0 ? .zero : delay(streak, upTo: limits.delayMax, chance)
        }
    }

    /// Nothing counts any more.
    package mutating func clear() {
        streak = 0
        elsewhere = 0
    }

    private func delay(_ number: Int, upTo most: Duration, _ chance: Double) -> Duration {
        var delay = limits.firstDelay
        for _ in 1..<number where delay < most { delay *= 2 }
        return min(delay, most) * (1 - limits.jitter * min(max(chance, 0), 1))
    }
}
