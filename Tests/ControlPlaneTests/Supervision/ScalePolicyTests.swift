import FunctionConfig
import ControlPlane
import Testing

@Suite struct ScalePolicyTests {
    /// A version under a load, sampled four times a second. Decisions take effect at once.
    private struct Trial {
        var policy: ScalePolicy
        var replicas = 1
        var now = Duration.zero
        var calls: UInt64 = 0
        var history: [Int] = []
        var isStopped = false

        init(
            _ range: ClosedRange<Int>, capacity: Int = 1, window: Duration = .seconds(60),
            idle: Duration = .seconds(300)
        ) {
            policy = ScalePolicy(
                ScalePolicy.Settings(
                    replicas: ReplicaRange(min: range.lowerBound, max: range.upperBound), capacity: capacity,
                    window: window, idle: idle))
            replicas = max(range.lowerBound, 1)
        }

        mutating func run(_ duration: Duration, ready: Int? = nil, load: (Int) -> Int) {
            let end = now + duration
            var look = 0
            while now < end, !isStopped {
                now += .milliseconds(250)
                let sample = ScalePolicy.Sample(
                    load: load(look), calls: calls, replicas: replicas, ready: ready ?? replicas)
                look += 1
                switch policy.decide(sample, at: now) {
                case .keep: continue
                case .scale(let count): replicas = count
                case .stop: isStopped = true
                }
                history.append(replicas)
            }
        }
    }

    @Test(arguments: [
        (1...8, 1, 4, 4), (1...8, 1, 100, 8), (1...8, 4, 9, 3), (1...8, 4, 4, 1), (2...8, 1, 0, 2), (3...3, 1, 50, 3),
        (0...4, 1, 3, 3), (1...8, 0, 2, 2),
    ])
    func aSteadyLoadGetsWhatItNeedsInOneStep(range: ClosedRange<Int>, capacity: Int, load: Int, replicas: Int) {
        var trial = Trial(range, capacity: capacity)
        trial.run(.seconds(3)) { _ in load }
        #expect(trial.replicas == replicas)
        #expect(trial.history.count <= 1)
    }

    @Test func aMomentIsNotEnough() {
        var trial = Trial(1...8)
        trial.run(.seconds(10)) { $0 % 4 == 0 ? 1 : 8 }
        #expect(trial.history.isEmpty)
    }

    @Test func nothingIsAddedBeforeTheFirstIsReady() {
        var trial = Trial(0...8)
        trial.run(.seconds(30), ready: 0) { _ in 500 }
        #expect(trial.history.isEmpty)
        trial.run(.seconds(2)) { _ in 500 }
        #expect(trial.replicas == 8)
    }

    @Test func thereAreFewerOnlyAfterTheWindow() {
        var trial = Trial(1...8)
        trial.run(.seconds(5)) { _ in 6 }
        #expect(trial.replicas == 6)
        trial.run(.seconds(59)) { _ in 2 }
        #expect(trial.replicas == 6)
        trial.run(.seconds(5)) { _ in 2 }
        #expect(trial.replicas == 2)
        trial.run(.seconds(61)) { _ in 0 }
        #expect(trial.history == [6, 2, 1])
    }

    @Test func aLoadThatComesAndGoesDoesNotFlap() {
        var trial = Trial(1...8)
        // A high load for five seconds in every thirty.
        for _ in 0..<20 {
            trial.run(.seconds(5)) { _ in 5 }
            trial.run(.seconds(25)) { _ in 0 }
        }
        #expect(trial.history == [5])
    }

    @Test func theWindowIsALimit() {
        var trial = Trial(1...4, window: .seconds(2))
        trial.run(.seconds(3)) { _ in 4 }
        trial.run(.seconds(3)) { _ in 0 }
        #expect(trial.history == [4, 1])
    }

    @Test func anIdleOneIsStopped() {
        var trial = Trial(0...4, idle: .seconds(10))
        trial.run(.seconds(5)) { _ in 1 }
        trial.run(.seconds(9)) { _ in 0 }
        #expect(!trial.isStopped)
        trial.run(.seconds(2)) { _ in 0 }
        #expect(trial.isStopped)
    }

    @Test func callsTooShortToBeSeenCount() {
        var trial = Trial(0...4, idle: .seconds(10))
        for _ in 0..<5 {
            trial.run(.seconds(8)) { _ in 0 }
            trial.calls += 1
        }
        #expect(!trial.isStopped)
        trial.run(.seconds(11)) { _ in 0 }
        #expect(trial.isStopped)
    }

    @Test func withALeastItIsNeverStopped() {
        var trial = Trial(1...4, idle: .seconds(1))
        trial.run(.seconds(120)) { _ in 0 }
        #expect(!trial.isStopped && trial.replicas == 1)
    }
}
