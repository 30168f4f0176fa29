@testable import ControlPlane
import Engine
import FunctionConfig
import Glibc
import Link
import Logging
import Platform
import Synchronization
import TestSupport
import Testing

/// A fake engine that is stopped, killed and restarted while containers run.
@Suite struct EngineOutageTests {
    private static let broken = EngineError(.broken, "the engine's answer broke off")
    private static let away = EngineError(.unreachable, "there is no Docker engine")

    let played: PlayedReplica

    init() throws {
        played = try PlayedReplica()
        played.engine.state.withLock {
            $0.runsOn = true
            $0.end = ContainerExit(status: 3, isOutOfMemory: false)
        }
    }

    /// Starts a replica, lets its watcher dial, runs `work`, and waits for the replica's end.
    private func run(
        dials: Bool = true, _ work: @escaping @Sendable (ContainerBackend) async -> Void
    ) async throws -> ReplicaExit {
        let backend = played.backend()
        return try await played.pooled {
            try await withThrowingTaskGroup(of: ReplicaExit?.self) { group in
                let started = Promise<Void>()
                group.addTask { try await backend.run { _ in started.settle(()) } }
                group.addTask {
                    _ = await started.value()
                    if dials { #expect(backend.noteDialled()) }
                    await work(backend)
                    return nil
                }
                var exit: ReplicaExit?
                for try await each in group { exit = each ?? exit }
                return try #require(exit)
            }
        }
    }

    /// Returns when the engine has had the call this many times.
    private func asked(_ call: String, times: Int) async {
        await waitUntil { played.engine.calls.count(where: { $0 == call }) >= times }
    }

    @Test(arguments: [broken, away, EngineError(.notFound, "No such container")])
    func whatRunsOnIsKept(failure: EngineError) async throws {
        let engine = played.engine
        let exit = try await run { backend in
            engine.goAway(failure)
            await asked("state 1", times: 2)
            engine.comeBack(isRunning: true)
            await waitUntil { engine.state.withLock { $0.attachments } >= 2 }
            engine.state.withLock { $0.end = ContainerExit(status: 137, isOutOfMemory: false) }
            backend.kill()
        }
        #expect(exit == .signal(9))
        #expect(engine.calls.filter { $0.hasPrefix("start") || $0.hasPrefix("create") } == ["create", "start 1"])
        #expect(played.log.tail(lines: 10).contains("is lost, if there was any: the Docker engine was away"))
    }

    @Test func aContainerThatOutlivesItsLinkIsKilled() async throws {
        let exit = try await run { backend in
            backend.linkEnded(.closedByWatcher, isStopping: false)
            await asked("signal 1 9", times: 1)
        }
        #expect(exit == .container(3, lastLine: ""))
    }

    @Test func aContainerWhoseReplicaHasDiedSaysHow() async throws {
        let engine = played.engine
        let exit = try await run { backend in
            backend.linkEnded(.closedByWatcher, isStopping: false)
            engine.end()
        }
        #expect(exit == .container(3, lastLine: ""))
        // All tasks of the pool are done by now.
        #expect(!engine.calls.contains("signal 1 9"))
    }

    @Test func howItEndedMeanwhileIsAskedFor() async throws {
        let engine = played.engine
        let exit = try await run { _ in
            engine.goAway(Self.away)
            await asked("state 1", times: 1)
            engine.comeBack(isRunning: false)
        }
        #expect(exit == .container(3, lastLine: ""))
    }

    @Test func itsLinkTellsOfItsEndWhileTheEngineIsAway() async throws {
        let engine = played.engine
        let exit = try await run { backend in
            engine.goAway(Self.away)
            await asked("state 1", times: 1)
            backend.linkEnded(.byGateway("closed"), isStopping: false)
            // The container is removed when the engine is back.
            await waitUntil { played.host.isRemoving }
            engine.comeBack(isRunning: false)
        }
        guard case .lost(let how) = exit else {
            Issue.record("it ended with \(exit)")
            return
        }
        #expect(how.contains("there is no Docker engine"))
        #expect(engine.calls.last == "remove 1")
    }

    @Test func oneThatIsKilledWhileTheEngineIsAwayIsOver() async throws {
        let engine = played.engine
        let exit = try await run { backend in
            engine.goAway(Self.away)
            await asked("state 1", times: 1)
            backend.kill()
            await waitUntil { played.host.isRemoving }
            engine.comeBack(isRunning: true)
        }
        #expect(exit == .signal(9))
        #expect(engine.calls.last == "remove 1")
    }

    @Test func anEngineThatGoesBeforeTheWatcherDialsIsNoFaultOfTheFunctions() async throws {
        let engine = played.engine
        await #expect {
            _ = try await run(dials: false) { _ in
                engine.goAway(Self.away)
                await waitUntil { played.host.isRemoving }
                engine.comeBack(isRunning: false)
            }
        } throws: { ($0 as? ConstructorFailure)?.isElsewhere == true }
    }

    @Test(arguments: [
        (EngineError(.broken, "failed to update store for object type *libnetwork.endpoint"), true),
        (EngineError(.unreachable, "no engine"), true), (EngineError(.diskFull, "no space left on device"), true),
        (EngineError(.notFound, "cannot start: No such container: 1"), true),
        (EngineError(.failed, "no such device"), false), (EngineError(.conflict, "the name is taken"), false),
    ])
    func whatCountsAgainstTheFunction(failure: EngineError, isElsewhere: Bool) async throws {
        played.engine.state.withLock { $0.startFailure = failure }
        await #expect {
            _ = try await played.pooled { try await played.backend().run { _ in } }
        } throws: { ($0 as? ConstructorFailure)?.isElsewhere == isElsewhere }
        #expect(played.engine.calls == ["create", "start 1", "remove 1"])
    }

    @Test func aRemovalIsTriedUntilNothingIsLeft() async throws {
        played.engine.state.withLock { state in
            state.runsOn = false
            state.removeFailures = [Self.broken, Self.away, EngineError(.conflict, "removal is already in progress")]
        }
        _ = try await played.pooled { try await played.backend().run { _ in } }
        #expect(played.engine.calls.count { $0 == "remove 1" } == 4)
    }

    @Test func aContainerThatIsStartedAgainIsNotThisReplica() async throws {
        let engine = played.engine
        let backend = played.backend()
        engine.state.withLock { $0.runsOn = false }
        _ = try await played.pooled { try await backend.run { _ in } }
        #expect(!backend.noteDialled())
    }
}
