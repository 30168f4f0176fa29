import GRPC
import Synchronization
import Platform
import Testing

@Suite struct CompletionQueueHelperTests {
    private final class Wish: Sendable {
        /// After how many questions the answer changes; 0 for never.
        private let period: Int
        private let initially: Bool
        private let asked = Atomic<Int>(0)

        init(initially: Bool, period: Int = 0) {
            self.initially = initially
            self.period = period
        }

        var isNeeded: Bool {
            let count = asked.add(1, ordering: .relaxed).newValue
            return period == 0 ? initially : (count / period) % 2 == 0
        }

        var wasAsked: Bool { asked.load(ordering: .relaxed) > 0 }
    }

    @Test(arguments: [(false, 0), (true, 0), (false, 1), (false, 100), (false, 1_000)])
    func callsAreAnsweredWhetherItHelpsOrRests(initially: Bool, period: Int) async throws {
        let wish = Wish(initially: initially, period: period)
        let running = try RunningServer(
            queue: CompletionQueue(name: "test", threads: 1) { wish.isNeeded })
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
            channel.close()
        }
        #expect(wish.wasAsked)
    }

    @Test func aQueueEndsWhateverItsHelperDoes() {
        for round in 0..<200 {
            let queue = CompletionQueue(name: "test", threads: 1) { round % 2 == 0 }
            queue.shutdown()
        }
    }
}
