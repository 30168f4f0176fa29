import ControlPlane
import Glibc
import Platform
import TestSupport
import Testing

@Suite struct LogPumpTests {
    let work: TemporaryFolder
    let log: FunctionLog
    let pump: LogPump

    init() throws {
        work = try TemporaryFolder()
        log = FunctionLog(folder: work.path + "/log")
        pump = try LogPump()
    }

    /// Adds a pipe. The stream `ended` finishes when the pipe's last line is in the log.
    private func add(_ stream: LogStream = .stdout) throws -> (pipe: Pipe, number: UInt64, ended: AsyncStream<Void>) {
        let pipe = try Pipe()
        let (ended, told) = AsyncStream.makeStream(of: Void.self)
        let number = try pump.add(pipe.takeReading(), to: log, replica: 3, stream: stream) { told.finish() }
        return (pipe, number, ended)
    }

    private func texts() -> [String] {
        log.tail().split(separator: "\n").map { $0.split(separator: " ", maxSplits: 1).last.map(String.init) ?? "" }
    }

    @Test func whatIsWrittenIsInTheLogWhenThePipeEnds() async throws {
        let (pipe, _, ended) = try add(.stderr)
        try pipe.write("plain\n\u{1e}4f2a\u{1f}marked\nlast without end")
        pipe.closeWriting()
        for await _ in ended {}
        #expect(texts() == ["3 stderr - plain", "3 stderr 4f2a marked", "3 stderr - last without end"])
        #expect(pump.count == 0)
        pump.stop()
    }

    @Test func manyPipesAtOnce() async throws {
        var ends: [AsyncStream<Void>] = []
        for number in 0..<50 {
            let (pipe, _, ended) = try add()
            try pipe.write("from \(number)\n")
            pipe.closeWriting()
            ends.append(ended)
        }
        for end in ends { for await _ in end {} }
        #expect(Set(texts()) == Set((0..<50).map { "3 stdout - from \($0)" }))
        pump.stop()
    }

    @Test func oneLineOfAHundredMegabytes() async throws {
        let (pipe, _, ended) = try add()
        let piece = [UInt8](repeating: 0x78, count: 1 << 20)
        for _ in 0..<100 { try pipe.write(piece) }
        try pipe.write("\nnext\n")
        pipe.closeWriting()
        for await _ in ended {}
        let found = texts()
        #expect(found.count == 2)
        #expect(found[0].hasSuffix("x ... (line cut: 104857600 bytes in all)"))
        #expect(found[0].utf8.count < 66_000)
        #expect(found[1] == "3 stdout - next")
        pump.stop()
    }

    @Test func aFloodIsDroppedAndCounted() async throws {
        let (pipe, _, ended) = try add()
        let line = Array((String(repeating: "y", count: 1023) + "\n").utf8)
        let piece = Array([[UInt8]](repeating: line, count: 1024).joined())
        for _ in 0..<20 { try pipe.write(piece) }
        pipe.closeWriting()
        for await _ in ended {}
        let kept = texts().count { $0.hasSuffix("yyy") }
        #expect(kept < 20 * 1024)
        #expect(kept > 100)
        pump.stop()
    }

    @Test func finishDoesNotWaitForWhoeverHoldsThePipe() async throws {
        let (pipe, number, ended) = try add()
        try pipe.write("said\n")
        pump.finish(number)
        for await _ in ended {}
        #expect(texts() == ["3 stdout - said"])
        // The reading end is closed a moment later, and then a write fails.
        signal(SIGPIPE, SIG_IGN)
        await waitUntil { (try? pipe.write([1])) == nil }
        pump.finish(number)
        pump.stop()
    }

    @Test func stoppingEndsEveryPipe() async throws {
        let (pipe, _, ended) = try add()
        try pipe.write("said\n")
        pump.stop()
        for await _ in ended {}
        #expect(texts() == ["3 stdout - said"])
    }
}
