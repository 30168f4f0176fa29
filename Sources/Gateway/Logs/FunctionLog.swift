import Environments
import Glibc
import Locks

/// The log of one function: lines in rotated files `log`, `log.1` (the one before) to `log.4`, in a folder of its own.
///
/// A line reads `2026-01-02T03:04:05.678Z 1 stdout 4f2a text`: time, replica, stream, request (or `-`), text. Adding never
/// fails and never waits: lines wait in memory, as many as `limits.queueBytes` allows, until a thread of `writers` writes them. What
/// comes too fast, or finds the disk full or the queue, is dropped and counted, and the next line that fits is preceded by one
/// that tells how many. The last line of what came too fast is not lost: it is held until it is quiet.
///
/// Whoever reads the log finds every line that was added before. Safe from any thread; reading waits for the disk.
package final class FunctionLog: Sendable {
    private struct State {
        var rate: LogRate
        /// Lines dropped since the last that was written.
        var droppedForRate = 0
        /// The last of them, and when it came.
        var held: (line: LogLine, since: Duration)?
        var droppedForDisk = 0
        /// Lines that are not on the disk, the oldest first.
        var waiting: [LogEntry] = []
        var waitingBytes = 0
        /// Whether a writer has the log, or will.
        var isScheduled = false
        var lastFollower = 0
        var followers: [Int: LogFollower] = [:]
        var isClosed = false
        var isRemoved = false
    }

    /// What is to be done after the lock.
    private struct News {
        var told: [(follower: LogFollower.Waiter, text: String?)] = []
        var mustWrite = false
    }

    package let folder: String
    private let limits: FunctionLogLimits
    private let writers: LogWriters
    private let milliseconds: @Sendable () -> Int64
    private let uptime: @Sendable () -> Duration
    private let state: Lock<State>
    /// Held while the files are written, or opened to be read.
    private let file: Lock<LogFile>

    /// - Parameters:
    ///   - folder: made when the first line is written, and again when it is gone.
    ///   - milliseconds: the time of day, since 1970.
    ///   - uptime: time since some fixed moment.
    package init(
        folder: String, limits: FunctionLogLimits = FunctionLogLimits(), writers: LogWriters = LogWriters(),
        milliseconds: @escaping @Sendable () -> Int64 = LogTime.now,
        uptime: @escaping @Sendable () -> Duration = LogTime.uptime
    ) {
        self.folder = folder
        self.limits = limits
        self.writers = writers
        self.milliseconds = milliseconds
        self.uptime = uptime
        state = Lock(State(rate: LogRate(bytesPerSecond: limits.bytesPerSecond)))
        file = Lock(LogFile(folder: folder, limits: limits), .logFiles)
    }

    // MARK: Adding

    /// Adds a line.
    /// - Parameters:
    ///   - text: without its line end; of a line that was too long to be kept, the beginning.
    ///   - fullBytes: how long the line was; nil when `text` is all of it.
    package func append(
        _ text: some Collection<UInt8>, replica: Int, stream: LogStream, requestID: String? = nil, fullBytes: Int? = nil
    ) {
        let line = LogLine(
            text: Array(text.prefix(limits.lineBytes)), fullBytes: fullBytes ?? text.count, replica: replica,
            stream: stream, requestID: requestID, milliseconds: milliseconds())
        let now = uptime()
        let news = state.withLock { state in
            if state.isClosed { return News() }
            guard state.rate.take(line.text.count + 40, now: now) else {
                state.droppedForRate += 1
                state.held = (line, now)
                return News()
            }
            state.held = nil
            return add(line, at: line.milliseconds, &state)
        }
        tell(news)
    }

    /// Adds the line that is held, if none came too fast for `quiet`.
    /// - Returns: whether a line is still held.
    @discardableResult
    package func settle(after quiet: Duration) -> Bool {
        let (now, milliseconds) = (uptime(), milliseconds())
        let (isHeld, news) = state.withLock { state in
            guard let held = state.held else { return (false, News()) }
            guard now - held.since >= quiet else { return (true, News()) }
            state.held = nil
            state.droppedForRate -= 1
            return (false, add(held.line, at: milliseconds, &state))
        }
        tell(news)
        return isHeld
    }

    /// Whether a line waits for `settle`.
    var holdsLine: Bool { state.withLock { $0.held != nil } }

    /// Adds the lines of a text.
    package func append(text: String, replica: Int, stream: LogStream, requestID: String? = nil) {
        for line in text.utf8.split(separator: 0x0A) {
            append(line, replica: replica, stream: stream, requestID: requestID)
        }
    }

    private func add(_ line: LogLine, at milliseconds: Int64, _ state: inout State) -> News {
        var news = News()
        func note(_ text: String) -> [UInt8] {
            LogLine(text: Array(text.utf8), replica: line.replica, stream: .gateway, milliseconds: milliseconds).bytes
        }
        if state.droppedForRate > 0 {
            let note = note("\(state.droppedForRate) lines dropped: more than \(limits.bytesPerSecond) bytes a second")
            enqueue(LogEntry(bytes: note, lines: state.droppedForRate), &state)
            state.droppedForRate = 0
            state.rate.charge(note.count)
            follow(note, &state, &news)
        }
        let bytes = line.bytes
        if state.droppedForDisk > 0, fits(bytes.count, state) {
            let note = note("\(state.droppedForDisk) lines dropped: the log could not be written")
            let lines = state.droppedForDisk
            state.droppedForDisk = 0
            state.rate.charge(note.count)
            enqueue(LogEntry(bytes: note, lines: lines), &state)
        }
        enqueue(LogEntry(bytes: bytes, lines: 1), &state)
        follow(bytes, &state, &news)
        if !state.isScheduled, !state.waiting.isEmpty {
            state.isScheduled = true
            news.mustWrite = true
        }
        return news
    }

    private func fits(_ bytes: Int, _ state: State) -> Bool {
        state.waiting.isEmpty || state.waitingBytes + bytes <= limits.queueBytes
    }

    private func enqueue(_ entry: LogEntry, _ state: inout State) {
        guard fits(entry.bytes.count, state) else { return state.droppedForDisk += entry.lines }
        state.waiting.append(entry)
        state.waitingBytes += entry.bytes.count
    }

    private func follow(_ bytes: [UInt8], _ state: inout State, _ news: inout News) {
        if state.followers.isEmpty { return }
        let text = String(decoding: bytes, as: UTF8.self)
        for number in Array(state.followers.keys) {
            state.followers[number]?.add(text, atMost: limits.followerLines)
            if let told = state.followers[number]?.takeWaiter() { news.told.append(told) }
        }
    }

    /// What somebody else does with it may take that one's locks: none of this log's is held here.
    private func tell(_ news: News) {
        if news.told.isEmpty, !news.mustWrite { return }
        assertNoLockIsHeld()
        for (follower, text) in news.told { follower.resume(returning: text) }
        if news.mustWrite { writers.add(self) }
    }

    // MARK: Writing

    /// Writes what waits, on a thread of `writers`.
    /// - Returns: whether more has come meanwhile.
    func writeWaiting() -> Bool {
        file.withLock { file -> Bool in
            let waiting = state.withLock { state in
                defer { (state.waiting, state.waitingBytes) = ([], 0) }
                return state.waiting
            }
            let lost = waiting.isEmpty ? 0 : file.write(waiting)
            let (hasMore, isOver, isRemoved) = state.withLock { state in
                state.droppedForDisk += lost
                state.isScheduled = !state.waiting.isEmpty
                return (state.isScheduled, state.isClosed && state.waiting.isEmpty, state.isRemoved)
            }
            if isRemoved { file.remove() } else if isOver { file.close() }
            return hasMore
        }
    }

    // MARK: Reading

    /// The end of the log, at most this many bytes, from the beginning of a line on; invalid UTF-8 replaced.
    package func tail(bytes: Int = 1 << 20) -> String {
        let files = files()
        return String(decoding: files.tail(bytes: bytes), as: UTF8.self)
    }

    /// The last lines, at most this many.
    package func tail(lines: Int) -> String {
        let files = files()
        return String(decoding: files.tail(lines: lines), as: UTF8.self)
    }

    /// The last lines that were written for a request, at most this many and at most `bytes`.
    package func tail(ofRequest requestID: String, lines: Int = .max, bytes: Int = 1 << 20) -> String {
        let files = files()
        let found = files.tail(lines: lines, bytes: bytes) { Self.isLine($0, ofRequest: requestID) }
        return String(decoding: found, as: UTF8.self)
    }

    /// Everything that was added until now, whether it is on the disk or not.
    private func files(_ note: (inout State) -> Void = { _ in }) -> LogFiles {
        file.withLock { _ -> LogFiles in
            // Nothing is being written: what does not wait is on the disk, or lost.
            let waiting = state.withLock { state in
                note(&state)
                return state.waiting
            }
            var unwritten: [UInt8] = []
            for entry in waiting { unwritten += entry.bytes }
            return LogFiles(folder: folder, count: limits.files, unwritten: unwritten)
        }
    }

    /// Whether a line of a log was written for this request.
    package static func isLine(_ line: some Sequence<UInt8>, ofRequest requestID: String) -> Bool {
        // Time, replica, stream, request, text.
        let fields = line.lazy.prefix(prefixBytesMax).split(
            separator: 0x20, maxSplits: 4, omittingEmptySubsequences: false)
        return fields.count > 3 && fields[3].elementsEqual(requestID.utf8)
    }

    /// More than what stands before a line's text.
    private static let prefixBytesMax = 512

    // MARK: Following

    /// The last lines and everything from there on, nothing missing between. The lines end when the log is closed; one who
    /// reads them too slowly loses some and is told how many.
    /// - Parameter requestID: of the last lines only those that were written for this request; all of them where `lines` is 0.
    package func follow(lines: Int = 0, ofRequest requestID: String? = nil) -> (earlier: String, later: LogLines) {
        var number = 0
        guard lines > 0 || requestID != nil else {
            number = state.withLock { Self.begin(&$0) }
            return ("", LogLines(of: self, number: number))
        }
        let files = files { number = Self.begin(&$0) }
        let later = LogLines(of: self, number: number)
        guard let requestID else { return (String(decoding: files.tail(lines: lines), as: UTF8.self), later) }
        let found = files.tail(lines: lines > 0 ? lines : .max, bytes: 1 << 20) {
            Self.isLine($0, ofRequest: requestID)
        }
        return (String(decoding: found, as: UTF8.self), later)
    }

    /// - Returns: the follower's number; 0 where there is nothing to follow.
    private static func begin(_ state: inout State) -> Int {
        if state.isClosed { return 0 }
        state.lastFollower += 1
        state.followers[state.lastFollower] = LogFollower()
        return state.lastFollower
    }

    /// The next line for a follower; nil at the end, and when the task is cancelled.
    func next(_ follower: Int) async -> String? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: String?? = state.withLock { state in
                    guard let text = state.followers[follower]?.next() else {
                        guard state.followers[follower] != nil, !state.isClosed, !Task.isCancelled else {
                            state.followers[follower] = nil
                            return .some(nil)
                        }
                        state.followers[follower]?.waiter = continuation
                        return nil
                    }
                    return text
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            leave(follower)
        }
    }

    /// A follower gets no more.
    func leave(_ follower: Int) {
        let left = state.withLock { $0.followers.removeValue(forKey: follower) }
        left?.waiter?.resume(returning: nil)
    }

    /// How many follow at the moment.
    package var followers: Int { state.withLock { $0.followers.count } }

    // MARK: The end

    /// Ends the log and, once they have what came before, every follower; what is added later is dropped.
    package func close() {
        end { _ in }
    }

    /// The same, and takes its files away.
    package func remove() {
        end { state in
            state.isRemoved = true
            (state.waiting, state.waitingBytes) = ([], 0)
        }
        // A log that stays does no harm.
        try? Folder.remove(folder)
    }

    private func end(_ change: (inout State) -> Void) {
        let news = state.withLock { state in
            state.isClosed = true
            change(&state)
            var news = News()
            for number in Array(state.followers.keys) {
                guard let waiter = state.followers[number]?.waiter else { continue }
                state.followers[number] = nil
                news.told.append((waiter, nil))
            }
            // The writer closes the file.
            if !state.isScheduled {
                state.isScheduled = true
                news.mustWrite = true
            }
            return news
        }
        tell(news)
    }
}
