import ControlPlane
import Glibc
import Platform
import Synchronization
import TestSupport
import Testing

@Suite struct FunctionLogTests {
    let work: TemporaryFolder
    let clock = Clock()
    let writers = LogWriters()

    init() throws { work = try TemporaryFolder() }

    /// A clock that moves only when the test advances it.
    final class Clock: Sendable {
        private let passed = Mutex(Duration.zero)
        func advance(_ duration: Duration) { passed.withLock { $0 += duration } }
        var now: Duration { passed.withLock { $0 } }
        /// 2026-01-02T03:04:05.678Z plus the time that has passed.
        var milliseconds: Int64 { 1_767_323_045_678 + Int64(now / .milliseconds(1)) }
    }

    private final class Flag: Sendable {
        let isSet = Atomic<Bool>(false)
    }

    private static let start = "2026-01-02T03:04:05.678Z"

    private func log(_ change: (inout FunctionLogLimits) -> Void = { _ in }) -> FunctionLog {
        var limits = FunctionLogLimits()
        change(&limits)
        let clock = clock
        return FunctionLog(
            folder: work.path + "/logs/echo", limits: limits, writers: writers, milliseconds: { clock.milliseconds },
            uptime: { clock.now })
    }

    private func lines(_ text: String) -> [String] { text.split(separator: "\n").map(String.init) }

    @Test func aLineSaysWhenWhoWhereAndForWhom() {
        let log = log()
        log.append(Array("hello".utf8), replica: 1, stream: .stdout, requestID: "4f2a")
        log.append(Array("".utf8), replica: 2, stream: .stderr)
        log.append(text: "one\ntwo\n", replica: 0, stream: .gateway)
        #expect(
            log.tail() == """
                \(Self.start) 1 stdout 4f2a hello
                \(Self.start) 2 stderr - \n\(Self.start) 0 gateway - one
                \(Self.start) 0 gateway - two

                """)
    }

    @Test func itIsEmptyBeforeTheFirstLineAndGoesOnAfterARestart() async {
        #expect(log().tail() == "")
        log().append(text: "before", replica: 1, stream: .stdout)
        await writers.written()
        let again = log()
        again.append(text: "after", replica: 1, stream: .stdout)
        #expect(lines(again.tail()).map { $0.suffix(6) } == ["before", " after"])
    }

    @Test func filesRotate() async throws {
        let log = log {
            $0.fileBytes = 500; $0.files = 3
        }
        for number in 0..<40 { log.append(text: "line \(number)", replica: 1, stream: .stdout) }
        await writers.written()
        #expect(try work.tree("logs/echo") == ["logs/echo/log", "logs/echo/log.1", "logs/echo/log.2"])
        for name in ["log", "log.1", "log.2"] {
            #expect(try work.read("logs/echo/" + name).utf8.count <= 500)
        }
        // The lines of all files, in order, each once.
        let kept = lines(log.tail()).compactMap { Int($0.split(separator: " ").last ?? "") }
        #expect(kept == Array((40 - kept.count)..<40))
        #expect(kept.count > 20)
        #expect(lines(log.tail(lines: 25)).count == 25)
        #expect(lines(log.tail(lines: 25)).last?.hasSuffix("line 39") == true)
        #expect(lines(log.tail(lines: 1000)).count == kept.count)
        #expect(log.tail(lines: 0) == "")
    }

    @Test func theTailBeginsWithAWholeLine() {
        let log = log()
        for number in 100..<200 { log.append(text: "line \(number)", replica: 1, stream: .stdout) }
        let whole = log.tail()
        let lineBytes = whole.utf8.count / 100
        for bytes in [0, 1, lineBytes - 1, lineBytes, lineBytes + 1, lineBytes * 7, lineBytes * 7 + 3] {
            let tail = log.tail(bytes: bytes)
            #expect(tail.utf8.count == bytes / lineBytes * lineBytes)
            #expect(whole.hasSuffix(tail))
        }
        #expect(log.tail(bytes: 1 << 30) == whole)
    }

    @Test func invalidBytesAreReplacedInTheTail() {
        let log = log()
        log.append([0x66, 0xFF, 0x6F], replica: 1, stream: .stdout)
        #expect(log.tail().hasSuffix(" f\u{FFFD}o\n"))
    }

    @Test func longLinesAreCutWithANote() {
        let log = log { $0.lineBytes = 10 }
        log.append(Array("0123456789".utf8), replica: 1, stream: .stdout)
        log.append(Array("0123456789a".utf8), replica: 1, stream: .stdout)
        log.append(Array("0123456789".utf8), replica: 1, stream: .stdout, fullBytes: 100_000_000)
        #expect(
            lines(log.tail()).map { String($0.dropFirst(Self.start.utf8.count)) } == [
                " 1 stdout - 0123456789", " 1 stdout - 0123456789 ... (line cut: 11 bytes in all)",
                " 1 stdout - 0123456789 ... (line cut: 100000000 bytes in all)",
            ])
    }

    @Test func whatComesTooFastIsCounted() {
        let log = log { $0.bytesPerSecond = 1000 }
        for _ in 0..<100 { log.append([UInt8](repeating: 0x78, count: 60), replica: 1, stream: .stdout) }
        #expect(lines(log.tail()).count == 10)
        clock.advance(.milliseconds(100))
        log.append(text: "again", replica: 1, stream: .stdout)
        let found = lines(log.tail())
        #expect(found.count == 12)
        #expect(found[10].hasSuffix(" 1 gateway - 90 lines dropped: more than 1000 bytes a second"))
        #expect(found[11].hasSuffix("again"))
    }

    @Test func theNotesOfWhatIsDroppedCountToo() {
        let log = log { $0.bytesPerSecond = 1000 }
        for _ in 0..<1000 {
            clock.advance(.milliseconds(10))
            for _ in 0..<3 { log.append([UInt8](repeating: 0x78, count: 60), replica: 1, stream: .stdout) }
        }
        // The bytes of ten seconds, of one burst, and of one line with its note.
        #expect(log.tail().utf8.count < 11 * 1000 + 200)
        #expect(log.tail().contains("lines dropped"))
    }

    @Test func theLastLineOfAFloodIsWrittenWhenItIsQuiet() {
        let log = log { $0.bytesPerSecond = 100 }
        for number in 1...5 { log.append(text: "line \(number)", replica: 1, stream: .stdout) }
        #expect(log.appendHeldLine(after: .milliseconds(100)))
        #expect(!log.tail().contains("line 5"))
        clock.advance(.milliseconds(100))
        #expect(!log.appendHeldLine(after: .milliseconds(100)))
        let written = lines(log.tail())
        #expect(written.last?.hasSuffix("line 5") == true)
        #expect(written.contains { $0.contains("lines dropped") })
        #expect(!log.appendHeldLine(after: .milliseconds(100)))
    }

    @Test func aDiskThatTakesNothingIsNoError() async throws {
        let log = log()
        log.append(text: "first", replica: 1, stream: .stdout)
        await writers.written()
        // A file is where the folder should be, so no user can write there.
        let blocked = FunctionLog(folder: work.path + "/logs/echo/log/inside", writers: writers)
        blocked.append(text: "lost", replica: 1, stream: .stdout)
        await writers.written()
        #expect(blocked.tail() == "")
        try Folder.remove(work.path + "/logs/echo/log")
        blocked.append(text: "kept", replica: 1, stream: .stdout)
        let found = lines(blocked.tail())
        #expect(found.count == 2)
        #expect(found.first?.hasSuffix("1 lines dropped: the log could not be written") == true)
        #expect(found.last?.hasSuffix("kept") == true)
    }

    @Test func followersGetWhatComes() async {
        let log = log()
        for number in 0..<5 { log.append(text: "old \(number)", replica: 1, stream: .stdout) }
        let (earlier, later) = log.follow(lines: 2)
        #expect(lines(earlier).map { $0.suffix(5) } == ["old 3", "old 4"])
        log.append(text: "new", replica: 1, stream: .stdout, requestID: "r")
        #expect(log.followers == 1)
        log.close()
        var found: [String] = []
        for await line in later { found.append(line) }
        #expect(found == ["\(Self.start) 1 stdout r new\n"])
        #expect(log.followers == 0)
        let (_, ended) = log.follow()
        for await _ in ended { Issue.record("a closed log has no more lines") }
    }

    @Test func aSlowFollowerIsToldWhatItLost() async {
        let log = log { $0.followerLines = 3 }
        let (_, later) = log.follow()
        for number in 0..<10 { log.append(text: "\(number)", replica: 1, stream: .stdout) }
        var iterator = later.makeAsyncIterator()
        for number in 0..<3 { #expect(await iterator.next()?.hasSuffix(" \(number)\n") == true) }
        log.append(text: "10", replica: 1, stream: .stdout)
        #expect(await iterator.next() == "7 lines lost: they came faster than they were read\n")
        #expect(await iterator.next()?.hasSuffix(" 10\n") == true)
    }

    @Test func aFollowerThatLeavesIsForgotten() async {
        let log = log()
        let task = Task { [later = log.follow().later] in for await _ in later {} }
        #expect(log.followers == 1)
        task.cancel()
        await task.value
        #expect(log.followers == 0)
    }

    @Test func whatIsRemovedIsMadeAgain() async throws {
        let log = log()
        log.append(text: "before", replica: 1, stream: .stdout)
        await writers.written()
        try Folder.remove(log.folder)
        log.append(text: "after", replica: 1, stream: .stdout)
        await writers.written()
        #expect(try work.read("logs/echo/log") == "\(Self.start) 1 stdout - after\n")
        // The file is moved away, as log rotation does.
        try Folder.rename(log.folder + "/log", to: log.folder + "/moved")
        log.append(text: "later", replica: 1, stream: .stdout)
        await writers.written()
        #expect(try work.read("logs/echo/log") == "\(Self.start) 1 stdout - later\n")
    }

    @Test func aRemovedLogLeavesNothing() async throws {
        let log = log()
        for number in 0..<100 { log.append(text: "line \(number)", replica: 1, stream: .stdout) }
        log.remove()
        log.append(text: "late", replica: 1, stream: .stdout)
        await writers.written()
        #expect(!Folder.holds(log.folder))
    }

    @Test func whatWaitsForTheDiskIsReadAndBounded() async throws {
        // The file is a pipe without a reader: a thread that opens it waits.
        try Folder.make(work.path + "/logs/echo")
        let pipe = work.path + "/logs/echo/log"
        #expect(mkfifo(pipe, 0o600) == 0)
        let log = log { $0.queueBytes = 500 }
        let (_, later) = log.follow()
        log.append(text: "0", replica: 1, stream: .stdout)
        for number in 1...100 { log.append(text: "\(number)", replica: 1, stream: .stdout) }
        // Another function's log is written meanwhile.
        let other = FunctionLog(folder: work.path + "/logs/other", writers: writers)
        other.append(text: "goes on", replica: 1, stream: .stdout)
        await waitUntil { Folder.holds(work.path + "/logs/other/log") }
        var lines = later.makeAsyncIterator()
        for number in 0...100 { #expect(await lines.next()?.hasSuffix(" \(number)\n") == true) }
        let reader = try OwnedDescriptor(pipe, flags: O_RDONLY)
        await writers.written()
        log.append(text: "again", replica: 1, stream: .stdout)
        await writers.written()
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = try reader.read(into: &buffer, path: pipe)
        let written = self.lines(String(decoding: buffer[..<count], as: UTF8.self))
        // If the writer takes the waiting lines before the last line comes, there are two notes of dropped lines.
        let dropped = written.compactMap { line in
            line.firstMatch(of: /\ 1 gateway - (\d+) lines dropped: the log could not be written$/).flatMap {
                Int($0.1)
            }
        }
        let kept = written.count - dropped.count - 1
        #expect(kept > 3 && kept < 40)
        #expect(!dropped.isEmpty && kept + dropped.reduce(0, +) == 101)
        #expect(written.last?.hasSuffix(" again") == true)
    }

    @Test func asManyDisksMayStallAsThereAreWriters() async throws {
        try Folder.make(work.path + "/logs/stalled")
        let pipe = work.path + "/logs/stalled/log"
        #expect(mkfifo(pipe, 0o600) == 0)
        let one = LogWriters(threadsMax: 1)
        let stalled = FunctionLog(folder: work.path + "/logs/stalled", writers: one)
        let other = FunctionLog(folder: work.path + "/logs/other", writers: one)
        stalled.append(text: "first", replica: 1, stream: .stdout)
        other.append(text: "waits", replica: 1, stream: .stdout)
        #expect(other.tail().hasSuffix(" waits\n"))
        #expect(!Folder.holds(work.path + "/logs/other/log"))
        let reader = try OwnedDescriptor(pipe, flags: O_RDONLY)
        await one.written()
        #expect(Folder.holds(work.path + "/logs/other/log"))
        withExtendedLifetime(reader) {}
    }

    @Test func followersThatComeAndGoNeverStopTheLog() async {
        let log = log { ($0.followerLines, $0.queueBytes) = (4, 4 << 10) }
        let over = Flag()
        await withTaskGroup(of: Void.self) { group in
            for replica in 0..<4 {
                group.addTask {
                    while !over.isSet.load(ordering: .relaxed) {
                        log.append(text: "line", replica: replica, stream: .stdout)
                        // This is part of the load: the writers and the readers take turns.
                        await Task.yield()
                    }
                }
            }
            await withTaskGroup(of: Void.self) { followers in
                for number in 0..<4 {
                    followers.addTask {
                        for round in 0..<250 {
                            let lines = round % 50 == 0 ? 1 : 0
                            let reader = Task { [later = log.follow(lines: lines).later] in
                                var seen = 0
                                for await _ in later {
                                    seen += 1
                                    if (seen + number) % 5 == 0 { break }
                                }
                            }
                            // This is part of the load: the reader is cancelled at different moments, before it begins,
                            // while it waits for a line, and while it gets one.
                            for _ in 0..<(round % 7) { await Task.yield() }
                            reader.cancel()
                            await reader.value
                        }
                    }
                }
            }
            over.isSet.store(true, ordering: .relaxed)
        }
        #expect(log.followers == 0)
        log.append(text: "the last", replica: 1, stream: .stdout)
        log.close()
    }

    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"), (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"), (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
        ] as [(Int64, String)])
    func timesAreWritten(milliseconds: Int64, text: String) {
        #expect(LogTime.text(milliseconds) == text)
    }
}
