import Gateway
import Testing

@Suite struct RestartPolicyTests {
    private let limits = RestartPolicy.Limits()

    @Test func delaysDoubleFromAtOnceToTheMost() {
        var policy = RestartPolicy()
        // Far enough apart that they never fail the function.
        let wanted: [Duration] = [
            .zero, .milliseconds(100), .milliseconds(200), .milliseconds(400), .milliseconds(800), .milliseconds(1600),
            .milliseconds(3200), .milliseconds(6400), .milliseconds(12800), .milliseconds(25600), .seconds(30),
            .seconds(30),
        ]
        for (number, delay) in wanted.enumerated() {
            #expect(policy.died(hadAnswered: false, now: .seconds(20 * number), chance: 0) == .restart(after: delay))
        }
    }

    @Test func jitterOnlyShortens() {
        for (chance, milliseconds) in [(0.0, 100.0), (0.5, 87.5), (1, 75), (7, 75), (-1, 100)] {
            var policy = RestartPolicy()
            _ = policy.died(hadAnswered: false, now: .zero, chance: 0)
            guard case .restart(let delay) = policy.died(hadAnswered: false, now: .zero, chance: chance) else {
                Issue.record("it gave up")
                return
            }
            #expect(abs(delay / .milliseconds(1) - milliseconds) < 0.001)
        }
    }

    /// Each case: the deaths' seconds, and how many of them come before the function fails (nil: it does not).
    @Test(
        arguments: [
            ([0, 0, 0, 0, 0], 5), ([0, 10, 20, 30, 59], 5), ([0, 10, 20, 30, 60], nil),
            ([0, 15, 30, 45, 60, 75, 90], nil),
            ([0, 50, 55, 58, 61, 62], 6), ([0, 0, 0, 0], nil),
        ] as [([Int], Int?)])
    func fiveDeathsWithinAMinuteFail(seconds: [Int], failsAt: Int?) {
        var policy = RestartPolicy()
        var failed: Int?
        for (index, second) in seconds.enumerated() where failed == nil {
            if case .giveUp(let deaths, let window) = policy.died(hadAnswered: false, now: .seconds(second), chance: 0)
            {
                failed = index + 1
                #expect(deaths == limits.deathsMax)
                #expect(window == limits.window)
            }
        }
        #expect(failed == failsAt)
    }

    @Test func aDeathAfterAnAnswerDoesNotCount() {
        var policy = RestartPolicy()
        for second in 0..<50 {
            #expect(policy.died(hadAnswered: true, now: .seconds(second), chance: 0) == .restart(after: .zero))
        }
    }

    @Test func anAnswerClearsEverything() {
        var policy = RestartPolicy()
        for _ in 0..<4 { _ = policy.died(hadAnswered: false, now: .zero, chance: 0) }
        policy.answered()
        #expect(policy == RestartPolicy())
        for delay in [Duration.zero, .milliseconds(100), .milliseconds(200), .milliseconds(400)] {
            #expect(policy.died(hadAnswered: false, now: .seconds(1), chance: 0) == .restart(after: delay))
        }
        #expect(
            policy.died(hadAnswered: false, now: .seconds(1), chance: 0) == .giveUp(deaths: 5, window: .seconds(60)))
    }
}
