import Environments
import Gateway
import Glibc
import Testing

@Suite final class OutputLogTests {
    private let reading: OwnedDescriptor
    private let writing: OwnedDescriptor

    init() throws {
        var ends: [CInt] = [-1, -1]
        #expect(pipe(&ends) == 0)
        reading = OwnedDescriptor(owning: ends[0])
        writing = OwnedDescriptor(owning: ends[1])
    }

    private func read(until end: String) throws -> String {
        var (text, buffer) = ("", [UInt8](repeating: 0, count: 4096))
        while !text.hasSuffix(end) {
            let count = try reading.read(into: &buffer, path: "a pipe")
            if count == 0 { break }
            text += String(decoding: buffer[..<count], as: UTF8.self)
        }
        return text
    }

    @Test func linesAreWrittenInOrder() throws {
        let log = OutputLog(descriptor: writing.rawValue) { "\($0) dropped\n" }
        for number in 0..<100 { log.write("line \(number)\n") }
        #expect(log.flush(within: .seconds(30)))
        #expect(try read(until: "line 99\n") == (0..<100).map { "line \($0)\n" }.joined())
    }

    @Test func nothingWaitsForWhoeverDoesNotRead() throws {
        let log = OutputLog(descriptor: writing.rawValue, bytesMax: 1_000) { "\($0) dropped\n" }
        // More than the pipe and the queue hold.
        let line = String(repeating: "x", count: 99) + "\n"
        for _ in 0..<2_000 { log.write(line) }
        #expect(!log.flush(within: .milliseconds(1)))
        let text = try read(until: " dropped\n")
        let kept = text.split(separator: "\n").count { $0.hasPrefix("x") }
        #expect(kept < 2_000)
        #expect(text.hasSuffix("\n\(2_000 - kept) dropped\n"))
        log.write("again\n")
        #expect(try read(until: "again\n") == "again\n")
        #expect(log.flush(within: .seconds(30)))
    }
}
