import ControlPlane
import Testing

@Suite struct LastLinesTests {
    @Test func theLastOnesAreKept() {
        let last = LastLines()
        for number in 0..<100 { last.add(Array("line \(number)".utf8)) }
        #expect(last.all.count == 20 && last.all.first == "line 80" && last.all.last == "line 99")
        last.add([UInt8](repeating: 0x61, count: 5_000))
        #expect(last.all.last?.utf8.count == 303)
    }

    @Test func whatATracebackSaysIsNotSaidTwice() {
        let traceback = "Traceback (most recent call last):\n  File \"handler.py\", line 1\nValueError: 1\n"
        let lines = ["loading", ""] + traceback.split(separator: "\n").map(String.init) + ["bye"]
        #expect(LastLines.of(lines, besides: traceback) == ["loading", "bye"])
        #expect(LastLines.of(lines, besides: "").count == 5)
        // The lines that go with a status are limited.
        let long = (0..<20).map { "\($0) " + String(repeating: "x", count: 300) }
        let kept = LastLines.of(long, besides: "")
        #expect(kept.last == long.last && kept.reduce(0) { $0 + $1.utf8.count } <= 2_000)
    }
}
