@testable import ControlPlane
import Platform
import Synchronization
import Testing

@Suite struct StartQueueTests {
    private let queue = StartQueue(limit: 2)
    private let never = Promise<Void>()

    private final class Flag: Sendable {
        let isSet = Atomic<Bool>(false)
        func set() { isSet.store(true, ordering: .relaxed) }
        var value: Bool { isSet.load(ordering: .relaxed) }
    }

    /// Asks for a turn, and returns once the request waits.
    private func wait(
        _ name: String, isUrgent: @escaping @Sendable () -> Bool = { false }, until stopped: Promise<Void>? = nil,
        in group: inout TaskGroup<(String, StartTurn?)>
    ) async {
        let waits = Promise<Void>()
        let stopped = stopped ?? never
        group.addTask { [queue] in
            (name, await queue.turn(isUrgent: isUrgent, until: stopped) { waits.settle(()) })
        }
        _ = await waits.value()
    }

    private func turn() async throws -> StartTurn {
        try #require(await queue.turn(isUrgent: { false }, until: never) { Issue.record("it waits") })
    }

    @Test func soManyAtATimeAndInOrder() async throws {
        let first = try await turn()
        let second = try await turn()
        #expect(queue.running == 2)
        await withTaskGroup(of: (String, StartTurn?).self) { group in
            await wait("a", in: &group)
            await wait("b", in: &group)
            first.end()
            // Only the first call has an effect.
            first.end()
            let next = await group.next()
            #expect(next?.0 == "a")
            #expect(queue.running == 2)
            second.end()
            next?.1?.end()
            #expect(await group.next()?.0 == "b")
        }
        #expect(queue.running == 0)
    }

    @Test func whoHasWaitingCallsComesFirst() async throws {
        let first = try await turn()
        let second = try await turn()
        let hasCalls = Flag()
        await withTaskGroup(of: (String, StartTurn?).self) { group in
            await wait("a", in: &group)
            await wait("b", in: &group)
            await wait("c", isUrgent: { hasCalls.value }, in: &group)
            // Calls may come while the request waits.
            hasCalls.set()
            first.end()
            #expect(await group.next()?.0 == "c")
            #expect(await group.next()?.0 == "a")
            second.end()
            #expect(await group.next()?.0 == "b")
        }
    }

    @Test func whoIsStoppedGivesItsPlaceUp() async throws {
        let first = try await turn()
        let second = try await turn()
        let stopped = Promise<Void>()
        await withTaskGroup(of: (String, StartTurn?).self) { group in
            await wait("stopped", until: stopped, in: &group)
            await wait("next", in: &group)
            stopped.settle(())
            let end = await group.next()
            #expect(end?.0 == "stopped" && end?.1 == nil)
            first.end()
            #expect(await group.next()?.0 == "next")
        }
        second.end()
        #expect(queue.running == 0)
    }

    @Test func aTurnThatIsDroppedIsOver() async throws {
        do { _ = try await turn() }
        #expect(queue.running == 0)
    }

    /// A process that does not exist uses no processor time. The test's own process does while it spins.
    @Test func whoUsesNoProcessorGivesItsTurnAway() async throws {
        let idle = try await turn()
        await idle.endWhenIdle { 0 }
        #expect(queue.running == 0)
    }

    @Test func processorTimeFromALineOfStat() {
        func parse(_ text: String) -> ProcessorUse.Entry? { ProcessorUse.parse(Array(text.utf8)) }
        let rest = "4 4 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 5 6 7"
        #expect(
            parse("12 (a) b (c)) R 7 \(rest)") == ProcessorUse.Entry(parent: 7, ticks: 100, isRunnable: true))
        #expect(parse("12 (sleep) S 1 \(rest)")?.isRunnable == false)
        #expect(parse("12 (short) S 1 4") == nil)
        #expect(parse("nothing") == nil)
    }
}
