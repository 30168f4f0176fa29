/// How long a version waits before a replica that died is started again. A pure value: random numbers come from
/// outside.
///
/// The first restart comes at once, the next after 0.1 s, and each further pause is twice as long, up to 30 s, with
/// jitter. There is no last try: a function that was Ready once is always tried again. Only a death that the handler's
/// own code caused makes the pause longer, and only if the replica had answered no call since it was Ready. An answer
/// clears everything. After a death with a cause elsewhere, the restart comes at once, then after 0.1 s, doubled up to
/// 2 s. The pause for deaths by the handler does not change then.
package struct RestartPolicy: Sendable, Equatable {
    package struct Limits: Sendable, Equatable {
        package var firstDelay = Duration.milliseconds(100)
        package var delayMax = Duration.seconds(30)
        /// The longest pause if the cause is elsewhere. What the machine lacks for a moment is soon there again.
        package var elsewhereDelayMax = Duration.seconds(2)
        /// Each pause is shortened by a random part of it, up to this fraction, so that replicas do not all start
        /// together.
        package var jitter = 0.25

        package init() {}
    }

    private let limits: Limits
    /// How many deaths in a row the handler's own code has caused.
    private var streak = 0
    /// How many deaths in a row had a cause elsewhere.
    private var elsewhere = 0

    package init(limits: Limits = Limits()) {
        self.limits = limits
    }

    /// Notes that a replica died or could not be started.
    ///
    /// - Parameters:
    ///   - hadAnswered: whether it had answered a call since it was Ready.
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

    /// Clears all counts.
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
