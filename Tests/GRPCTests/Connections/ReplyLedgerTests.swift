@testable import GRPC
import Testing

@Suite struct ReplyLedgerTests {
    @Test func aReplyThatIsWrittenBeforeTheCoreSaysSo() {
        var ledger = ReplyLedger()
        let mark = ledger.begin(100)
        #expect(ledger.bytes == 100)
        expect(ledger.wrote(105, isAll: true), 0)
        expect(ledger.end(mark, isSent: true), 100)
        #expect(ledger.bytes == 0)
    }

    @Test func aReplyThatTheCoreHasSentCountsUntilItIsWritten() {
        var ledger = ReplyLedger()
        let mark = ledger.begin(1_000)
        expect(ledger.wrote(100, isAll: false), 0)
        expect(ledger.end(mark, isSent: true), 0)
        #expect(ledger.bytes == 1_000)
        expect(ledger.wrote(800, isAll: false), 0)
        expect(ledger.wrote(100, isAll: false), 1_000)
        #expect(ledger.bytes == 0)
    }

    @Test func aReplyOfACallThatEndsCountsNoMore() {
        var ledger = ReplyLedger()
        let mark = ledger.begin(1_000)
        expect(ledger.end(mark, isSent: false), 1_000)
        #expect(ledger.bytes == 0)
    }

    @Test func afterAllIsWrittenNothingCountsWhateverWasCancelled() {
        var ledger = ReplyLedger()
        let first = ledger.begin(1_000)
        let second = ledger.begin(500)
        expect(ledger.wrote(300, isAll: false), 0)
        expect(ledger.end(first, isSent: false), 1_000)
        expect(ledger.end(second, isSent: true), 0)
        expect(ledger.wrote(500, isAll: true), 500)
        #expect(ledger.bytes == 0)
    }

    @Test func whatLeavesAConnectionThatIsClosedCountsNoMore() {
        var ledger = ReplyLedger()
        let mark = ledger.begin(1_000)
        expect(ledger.end(mark, isSent: true), 0)
        #expect(ledger.close() == 1_000)
        #expect(ledger.bytes == 0)
    }

    @Test(arguments: 0..<50) func noReplyIsForgottenAndNoneStays(_ seed: UInt64) {
        var random = SeededNumbers(seed)
        var ledger = ReplyLedger()
        var begun: [(mark: ReplyMark, left: Int)] = []
        var sum = 0
        for _ in 0..<200 {
            if Bool.random(using: &random) {
                let bytes = Int.random(in: 1...1_000, using: &random)
                begun.append((ledger.begin(bytes), bytes))
                sum += bytes
            } else if !begun.isEmpty {
                let (mark, left) = begun.removeFirst()
                let isSent = Int.random(in: 0..<5, using: &random) > 0
                if isSent { sum -= ledger.wrote(left, isAll: begun.isEmpty) }
                sum -= ledger.end(mark, isSent: isSent)
            }
            #expect(ledger.bytes == sum && sum >= begun.reduce(0) { $0 + $1.left })
        }
        for (mark, left) in begun {
            sum -= ledger.wrote(left, isAll: mark.end == begun.last?.mark.end)
            sum -= ledger.end(mark, isSent: true)
        }
        sum -= ledger.wrote(0, isAll: true)
        #expect(sum == 0 && ledger.bytes == 0)
    }
}
