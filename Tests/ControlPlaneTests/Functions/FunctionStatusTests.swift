@testable import ControlPlane
import Platform
import Testing

@Suite struct FunctionStatusTests {
    @Test(
        arguments: [
            ([.ready], .ready), ([.idle], .idle), ([.failed], .failed), ([.starting], .starting),
            ([.ready, .ready], .ready), ([.ready, .idle], .ready), ([.idle, .idle], .idle),
            ([.ready, .failed], .degraded), ([.ready, .starting], .degraded), ([.failed, .failed], .failed),
            ([.idle, .failed], .degraded), ([.degraded, .ready], .degraded),
        ] as [([FunctionStatus], FunctionStatus)])
    func versionsAddUp(versions: [FunctionStatus], function: FunctionStatus) {
        #expect(FunctionStatus(versions: versions) == function)
    }

    private func replica(_ phase: ReplicaState.Phase, restarts: Int = 0) -> ReplicaState {
        ReplicaState(number: 1, phase: phase, restarts: restarts)
    }

    @Test func replicasAddUp() {
        func status(_ replicas: [ReplicaState], wanted: Int = 1, hasFailed: Bool = false) -> FunctionStatus {
            FunctionStatus(replicas: replicas, wanted: wanted, hasFailed: hasFailed)
        }
        #expect(status([]) == .starting)
        #expect(status([replica(.starting)]) == .starting)
        #expect(status([replica(.ready)]) == .ready)
        #expect(status([replica(.ready), replica(.starting)], wanted: 2) == .degraded)
        // It waits for its next start, or is at it.
        #expect(status([replica(.waiting, restarts: 1)]) == .degraded)
        #expect(status([replica(.starting, restarts: 1)]) == .degraded)
        #expect(status([], hasFailed: true) == .degraded)
    }

    @Test func aReplicaSaysWhyItIsNotReady() {
        var state = replica(.waiting)
        #expect(state.explanation == "")
        state.reason = "bad weights"
        state.nextTry = .now.advanced(by: .milliseconds(11_900))
        #expect(state.explanation == "bad weights; next try in 12 s")
        state.nextTry = .now
        #expect(state.explanation == "bad weights; next try now")
        state.nextTry = nil
        state.wait = "waits for its turn: 3 others are starting"
        #expect(state.explanation == "bad weights; waits for its turn: 3 others are starting")
        state.phase = .ready
        #expect(state.explanation == "")
    }
}
