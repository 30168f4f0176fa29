import GRPC
import Platform
import Testing

@Suite struct CoreLogFilterTests {
    @Test func aRecordIsOneLine() {
        var filter = CoreLogFilter()
        let line = filter.line("peer said \u{1B}[31m\r\nhello\u{85}\u{2028}é", at: MonotonicTime(nanoseconds: 1))
        #expect(line == "peer said \\u{1b}[31m\\u{d}\\u{a}hello\\u{85}\\u{2028}é")
        let long = filter.line(String(repeating: "x", count: 5_000), at: MonotonicTime(nanoseconds: 1))
        #expect((long?.utf8.count ?? 0) < CoreLogFilter.bytesMax + 10)
        #expect(long?.hasSuffix("...") == true)
    }

    @Test func thereAreTenInASecondAndACountOfTheRest() {
        var filter = CoreLogFilter()
        let written = (0..<100).compactMap { filter.line("\($0)", at: MonotonicTime(nanoseconds: Int64($0))) }
        #expect(written == (0..<10).map { "\($0)" })
        let second: Int64 = 1_000_000_000
        let next = filter.line("next", at: MonotonicTime(nanoseconds: second))
        #expect(next == "next (90 records before it were not written)")
        #expect(filter.line("and next", at: MonotonicTime(nanoseconds: second)) == "and next")
    }
}
