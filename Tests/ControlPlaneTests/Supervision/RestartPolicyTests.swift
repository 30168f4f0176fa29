import ControlPlane
import Testing

@Suite struct RestartPolicyTests {
    private static let toTheMost: [Duration] = [
        .zero, .milliseconds(100), .milliseconds(200), .milliseconds(400), .milliseconds(800), .milliseconds(1600),
        .milliseconds(3200), .milliseconds(6400), .milliseconds(12800), .milliseconds(25600), .seconds(30),
        .seconds(30),
    ]

    @Test func delaysDoubleFromAtOnceToTheMost() {
        var policy = RestartPolicy()
        for delay in Self.toTheMost {
            #expect(policy.died(.handler, hadAnswered: false, chance: 0) == delay)
        }
        // There is no last try.
        for _ in 0..<10_000 { #expect(policy.died(.handler, hadAnswered: false, chance: 0) == .seconds(30)) }
    }

    @Test func jitterOnlyShortens() {
        for (chance, milliseconds) in [(0.0, 100.0), (0.5, 87.5), (1, 75), (7, 75), (-1, 100)] {
            var policy = RestartPolicy()
            _ = policy.died(.handler, hadAnswered: false, chance: 0)
            let delay = policy.died(.handler, hadAnswered: false, chance: chance)
            #expect(abs(delay / .milliseconds(1) - milliseconds) < 0.001)
        }
    }

    @Test func aDeathAfterAnAnswerDoesNotCount() {
        for cause in [DeathCause.handler, .elsewhere] {
            var policy = RestartPolicy()
            for _ in 0..<50 { #expect(policy.died(cause, hadAnswered: true, chance: 0) == .zero) }
        }
    }

    @Test func anAnswerClearsEverything() {
        var policy = RestartPolicy()
        for _ in 0..<9 { _ = policy.died(.handler, hadAnswered: false, chance: 0) }
        #expect(policy.died(.handler, hadAnswered: true, chance: 0) == .zero)
        #expect(policy == RestartPolicy())
        for delay in Self.toTheMost { #expect(policy.died(.handler, hadAnswered: false, chance: 0) == delay) }
    }

    @Test func whatIsNotTheFunctionsFaultIsWaitedForAndDoesNotCount() {
        var policy = RestartPolicy()
        for delay in Self.toTheMost.prefix(4) {
            #expect(policy.died(.handler, hadAnswered: false, chance: 0) == delay)
        }
        let wanted: [Duration] = [
            .zero, .milliseconds(100), .milliseconds(200), .milliseconds(400), .milliseconds(800), .milliseconds(1600),
            .seconds(2), .seconds(2), .seconds(2),
        ]
        for delay in wanted { #expect(policy.died(.elsewhere, hadAnswered: false, chance: 0) == delay) }
        // The pause for deaths by the handler goes on where it was, and the other one starts again.
        #expect(policy.died(.handler, hadAnswered: false, chance: 0) == Self.toTheMost[4])
        #expect(policy.died(.elsewhere, hadAnswered: false, chance: 0) == wanted[0])
    }

    @Test(
        arguments: [
            (.status(0), .handler), (.status(1), .handler), (.container(3, lastLine: ""), .handler),
            (.signal(11), .handler), (.signal(6), .handler), (.signal(31), .handler),
            (.outOfMemory(limit: 1 << 20), .handler), (.outOfMemory(limit: nil), .elsewhere),
            (.signal(9), .elsewhere), (.signal(15), .elsewhere), (.signal(2), .elsewhere),
            (.task("its node is down"), .elsewhere), (.unknown("EMFILE"), .elsewhere),
        ] as [(ReplicaExit, DeathCause)])
    func whatAReplicaDiedOf(exit: ReplicaExit, cause: DeathCause) {
        #expect(exit.cause == cause)
    }
}
