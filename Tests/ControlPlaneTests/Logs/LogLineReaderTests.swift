@testable import ControlPlane
import Testing

@Suite struct LogLineReaderTests {
    /// `text|request|full` of each line. The pieces in which the bytes come do not matter.
    private func read(_ input: String, pieces: Int, lineBytes: Int = 100) -> [String] {
        var reader = LogLineReader(lineBytes: lineBytes)
        var found: [String] = []
        func add(_ line: LogLineReader.Line) {
            let text = String(decoding: line.text, as: UTF8.self)
            found.append("\(text)|\(line.requestID ?? "-")\(line.fullBytes.map { "|\($0)" } ?? "")")
        }
        let bytes = Array(input.utf8)
        for start in stride(from: 0, to: bytes.count, by: pieces) {
            bytes[start..<min(bytes.count, start + pieces)].withUnsafeBytes { reader.add($0, each: add) }
        }
        reader.finish(each: add)
        return found
    }

    @Test(
        arguments: [
            ("one\ntwo\n", ["one|-", "two|-"]), ("no end", ["no end|-"]), ("\n\n", ["|-", "|-"]), ("", []),
            ("dos\r\n", ["dos|-"]),
            ("\u{1e}4f2a\u{1f}hello\n", ["hello|4f2a"]), ("\u{1e}4f2a\u{1f}\n", ["|4f2a"]),
            ("raw\u{1e}4f2a\u{1f}hello\n", ["raw|-", "hello|4f2a"]),
            ("\u{1e}a\u{1f}x\u{1e}b\u{1f}y\nz\n", ["x|a", "y|b", "z|-"]),
            ("\u{1e}no end\n", ["\u{1e}no end|-"]), ("\u{1e}\u{1f}x\n", ["\u{1e}\u{1f}x|-"]),
            ("\u{1e}with space\u{1f}x\n", ["\u{1e}with space\u{1f}x|-"]),
            ("\u{1e}\u{1e}ok\u{1f}x\n", ["\u{1e}|-", "x|ok"]),
        ] as [(String, [String])])
    func lines(input: String, expected: [String]) {
        for pieces in [1, 2, 3, 1000] { #expect(read(input, pieces: pieces) == expected) }
    }

    @Test func longLinesKeepTheirBeginningAndLength() {
        let long = String(repeating: "x", count: 1000)
        for pieces in [1, 7, 1000, 5000] {
            let found = read("\u{1e}id\u{1f}\(long)\nnext\n", pieces: pieces)
            #expect(found.count == 2)
            #expect(found[0].hasPrefix(String(repeating: "x", count: 100)))
            #expect(found[0].hasSuffix("|id|1000"))
            #expect(found[1] == "next|-")
        }
    }

    @Test func whatIsHeldOfALineIsBounded() {
        var reader = LogLineReader(lineBytes: 100)
        let piece = [UInt8](repeating: 0x78, count: 1000)
        for _ in 0..<1000 {
            piece.withUnsafeBytes { reader.add($0) { _ in Issue.record("a line without an end") } }
            // The part that is kept, and room for the request's marker.
            #expect(reader.heldBytes <= 100 + 256)
        }
    }
}
