import ControlPlane
import Glibc
import Platform
import Testing

@Suite final class OutputLogTests {
    private let reading: OwnedDescriptor
    private let writing: OwnedDescriptor

    init() throws {
        var ends: [CInt] = [-1, -1]
        let result = pipe(&ends)
        #expect(result == 0)
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
        // First more than the pipe holds, then more than the queue holds.
        log.write(String(repeating: "x", count: 1 << 20) + "\n")
        let line = String(repeating: "x", count: 99) + "\n"
        for _ in 1..<2_000 { log.write(line) }
        #expect(!log.flush(within: .milliseconds(1)))
        // Each line is written or counted.
        var (kept, dropped) = (0, 0)
        while kept + dropped < 2_000 {
            for line in try read(until: "\n").split(separator: "\n") {
                if line.hasSuffix(" dropped") { dropped += Int(line.dropLast(8)) ?? 0 } else { kept += 1 }
            }
        }
        #expect(kept + dropped == 2_000)
        #expect(dropped > 0)
        log.write("again\n")
        #expect(try read(until: "again\n") == "again\n")
        #expect(log.flush(within: .seconds(30)))
    }
}
