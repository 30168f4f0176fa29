import Calls
import Synchronization
import Testing

@testable import Link

@Suite struct ReplyBurstTests {
    private final class Turns: ReplyTurns {
        private let said = Mutex<[String]>([])
        var words: [String] { said.withLock { $0 } }

        func beginBurst() { said.withLock { $0.append("begin") } }
        func endBurst() { said.withLock { $0.append("end") } }
        func endTurn() { said.withLock { $0.append("turn") } }
    }

    private let turns = Turns()

    @Test func aReplyThatComesAloneDoesNotWait() {
        let burst = ReplyBurst(turns)
        burst.noteReply()
        burst.noteReply(isLarge: true)
        burst.end()
        #expect(turns.words == ["turn"])
    }

    @Test func aBurstEndsWithItsTurn() {
        let burst = ReplyBurst(turns)
        burst.begin()
        for _ in 0..<31 { burst.noteReply() }
        // Another link of the same turn has several replies.
        burst.begin()
        burst.end()
        #expect(turns.words == ["begin", "end", "turn"])
        burst.end()
        #expect(turns.words == ["begin", "end", "turn", "turn"])
    }

    @Test func noReplyWaitsForMoreThanItsShare() {
        let burst = ReplyBurst(turns)
        burst.begin()
        for _ in 0..<65 { burst.noteReply() }
        burst.end()
        #expect(turns.words == ["begin", "end", "begin", "end", "begin", "end", "turn"])
    }

    @Test func aLargeReplyLetsTheOthersGo() {
        let burst = ReplyBurst(turns)
        burst.begin()
        burst.noteReply()
        burst.noteReply(isLarge: true)
        burst.noteReply()
        burst.end()
        #expect(turns.words == ["begin", "end", "begin", "end", "turn"])
    }

    @Test func withoutAFrontNothingIsSaid() {
        let burst = ReplyBurst(nil)
        burst.begin()
        for _ in 0..<100 { burst.noteReply() }
        burst.end()
    }
}
