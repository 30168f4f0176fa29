@testable import GatewayHTTP
import Testing

@Suite struct LogRecordTests {
    @Test func aLineIsRead() throws {
        let record = try #require(LogRecord("2026-01-02T03:04:05.678Z 12 stderr 4f2a  two  words "))
        #expect(record.time == "2026-01-02T03:04:05.678Z")
        #expect(record.replica == 12)
        #expect(record.stream == "stderr")
        #expect(record.request == "4f2a")
        #expect(record.text == " two  words ")
        #expect(try #require(LogRecord("t 1 stdout - ")).request == nil)
        #expect(try #require(LogRecord("t 1 stdout - ")).text == "")
    }

    @Test(arguments: ["", "t", "t 1 stdout -", "t one stdout - text"]) func otherTextIsNone(_ line: String) {
        #expect(LogRecord(line[...]) == nil)
    }

    @Test(arguments: [1, 3, 10, 1_000]) func piecesAreCutIntoLines(_ step: Int) {
        let text = Array("t 1 stdout - one\nt 1 stdout a two é\nt 2 gateway - three\nt 2 stdout - not whole".utf8)
        var records = LogRecords()
        var found: [String] = []
        for start in stride(from: 0, to: text.count, by: step) {
            found += records.append(text[start..<min(start + step, text.count)]).map(\.text)
        }
        #expect(found == ["one", "two é", "three"])
    }
}
