@testable import GRPC
import Platform
import Testing

@Suite struct CompletionQueueHelperTests {
    /// Loads that bring helpers never, always, and now and then.
    private static let bounds = [
        LoadBounds(busy: 2), LoadBounds(busy: 0, idle: -1, window: .zero), LoadBounds(busy: 0, idle: 1, window: .zero),
        LoadBounds(busy: 0, idle: 1, window: .milliseconds(1)),
    ]

    @Test(arguments: bounds)
    func callsAreAnsweredWhetherTheyHelpOrRest(bounds: LoadBounds) async throws {
        let queue = CompletionQueue(name: "test", threads: 1, helpers: 3, load: bounds)
        while queue.helpers.restingCount < 3 { await Task.yield() }
        let running = try RunningServer(queue: queue)
        try await running.run(serve: { _ in Status(.unimplemented) }) {
            let channel = Channel(target: running.target)
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<2_000 {
                    let sent = Array("call \(number)".utf8)
                    group.addTask { try await channel.unary(RunningServer.echo, sent) == sent }
                    if group.isEmpty || number % 8 == 7, let isSame = try await group.next() { #expect(isSame) }
                }
                for try await isSame in group { #expect(isSame) }
            }
            // Those that never go back to rest all work by now; those that are never needed all rest.
            if bounds.idle < 0 { #expect(queue.helpers.restingCount == 0) }
            if bounds.busy > 1 { #expect(queue.helpers.restingCount == 3) }
            channel.close()
        }
    }

    @Test func aBusyThreadWakesOneHelperEachTime() async {
        let helpers = CompletionQueue.Helpers(count: 2, bounds: LoadBounds(busy: 0.5, idle: 0.1))
        let woken = AsyncStream.makeStream(of: Int.self)
        let threads = (0..<2).map { index in
            Thread(name: "helper") {
                helpers.rest(index)
                woken.continuation.yield(index)
            }
        }
        while helpers.restingCount < 2 { await Task.yield() }
        helpers.wakeIfBusy(0.4)
        #expect(helpers.restingCount == 2)
        helpers.wakeIfBusy(0.5)
        #expect(helpers.restingCount == 1)
        var iterator = woken.stream.makeAsyncIterator()
        let first = await iterator.next()
        helpers.stop()
        #expect(Set([first, await iterator.next()]) == [0, 1])
        for thread in threads { thread.join() }
        // Nobody rests any more.
        helpers.rest(0)
    }

    @Test func aQueueEndsWhateverItsHelpersDo() {
        for round in 0..<200 {
            let queue = CompletionQueue(
                name: "test", threads: 1, helpers: 2, load: Self.bounds[round % Self.bounds.count])
            queue.shutdown()
        }
    }
}
