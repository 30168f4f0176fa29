import Glibc
import Platform

/// The log of one function: lines in rotated files `log`, `log.1` (the one before) to `log.4`, in a folder of its own.
///
/// A line reads `2026-01-02T03:04:05.678Z 1 stdout 4f2a text`: time, replica, stream, request (or `-`), text.
///
/// Adding never fails and never waits. Lines wait in memory, as many as `limits.queueBytes` allows, until a thread of
/// `writers` writes them. A line is dropped and counted when it comes too fast, or when the disk or the queue is full.
/// The next line that fits is preceded by one with the count. The last line that came too fast is not lost: the log
/// holds it until no line has come too fast for a while, and then adds it.
///
/// A reader finds every line that was added before. Any thread may use the log; reading waits for the disk.
package final class FunctionLog: Sendable {
    private struct State {
        var rate: LogRate
        /// How many lines were dropped since the last one that was written.
        var droppedForRate = 0
        /// The last line that was dropped, and when it came.
        var held: (line: LogLine, since: Duration)?
        var droppedForDisk = 0
        /// Lines that are not on the disk yet, the oldest first.
        var waiting: [LogEntry] = []
        var waitingBytes = 0
        /// Whether the log is with `writers`.
        var isScheduled = false
        var lastFollower = 0
        var followers: [Int: LogFollower] = [:]
        var isClosed = false
        var isRemoved = false
    }

    /// What is done after the lock is released.
    private struct Effects {
        /// Followers that wait, each with its line, or with nil at the end.
        var resumed: [(follower: LogFollower.Waiter, text: String?)] = []
        var mustWrite = false
    }

    package let folder: String
    private let limits: FunctionLogLimits
    private let writers: LogWriters
    private let milliseconds: @Sendable () -> Int64
    private let uptime: @Sendable () -> Duration
    private let state: Lock<State>
    /// The lock is held while the files are written, and while they are opened to be read.
    private let file: Lock<LogFile>

    /// - Parameters:
    ///   - folder: made when the first line is written, and made again when it is gone.
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
    ///   - text: the line without its end. Of a line that was too long to be kept, the beginning.
    ///   - fullBytes: how long the line was; nil when `text` is the whole line.
    package func append(
        _ text: some Collection<UInt8>, replica: Int, stream: LogStream, requestID: String? = nil, fullBytes: Int? = nil
    ) {
        let line = LogLine(
            text: Array(text.prefix(limits.lineBytes)), fullBytes: fullBytes ?? text.count, replica: replica,
            stream: stream, requestID: requestID, milliseconds: milliseconds())
        let now = uptime()
        let effects = state.withLock { state in
            if state.isClosed { return Effects() }
            guard state.rate.admit(line.text.count + 40, now: now) else {
                state.droppedForRate += 1
                state.held = (line, now)
                return Effects()
            }
            state.held = nil
            return add(line, at: line.milliseconds, &state)
        }
        perform(effects)
    }

    /// Adds the line that is held, if no line has come too fast for the time `quiet`.
    /// - Returns: whether a line is still held.
    @discardableResult
    package func appendHeldLine(after quiet: Duration) -> Bool {
        let (now, milliseconds) = (uptime(), milliseconds())
        let (isHeld, effects) = state.withLock { state in
            guard let held = state.held else { return (false, Effects()) }
            guard now - held.since >= quiet else { return (true, Effects()) }
            state.held = nil
            state.droppedForRate -= 1
            return (false, add(held.line, at: milliseconds, &state))
        }
        perform(effects)
        return isHeld
    }

    /// Whether a line waits for `appendHeldLine`.
    var holdsLine: Bool { state.withLock { $0.held != nil } }

    /// Adds the lines of a text.
    package func append(text: String, replica: Int, stream: LogStream, requestID: String? = nil) {
        for line in text.utf8.split(separator: 0x0A) {
            append(line, replica: replica, stream: stream, requestID: requestID)
        }
    }

    private func add(_ line: LogLine, at milliseconds: Int64, _ state: inout State) -> Effects {
        var effects = Effects()
        func note(_ text: String) -> [UInt8] {
            LogLine(text: Array(text.utf8), replica: line.replica, stream: .gateway, milliseconds: milliseconds).bytes
        }
        if state.droppedForRate > 0 {
            let note = note("\(state.droppedForRate) lines dropped: more than \(limits.bytesPerSecond) bytes a second")
            enqueue(LogEntry(bytes: note, lines: state.droppedForRate), &state)
            state.droppedForRate = 0
            state.rate.charge(note.count)
            follow(note, &state, &effects)
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
        follow(bytes, &state, &effects)
        if !state.isScheduled, !state.waiting.isEmpty {
            state.isScheduled = true
            effects.mustWrite = true
        }
        return effects
    }

    private func fits(_ bytes: Int, _ state: State) -> Bool {
        state.waiting.isEmpty || state.waitingBytes + bytes <= limits.queueBytes
    }

    private func enqueue(_ entry: LogEntry, _ state: inout State) {
        guard fits(entry.bytes.count, state) else { return state.droppedForDisk += entry.lines }
        state.waiting.append(entry)
        state.waitingBytes += entry.bytes.count
    }

    /// Gives a line to all followers.
    private func follow(_ bytes: [UInt8], _ state: inout State, _ effects: inout Effects) {
        if state.followers.isEmpty { return }
        let text = String(decoding: bytes, as: UTF8.self)
        for number in Array(state.followers.keys) {
            state.followers[number]?.add(text, atMost: limits.followerLines)
            if let next = state.followers[number]?.takeWaiter() { effects.resumed.append(next) }
        }
    }

    /// Call it without the log's locks: what it calls may take other locks.
    private func perform(_ effects: Effects) {
        if effects.resumed.isEmpty, !effects.mustWrite { return }
        assertNoLockIsHeld()
        for (follower, text) in effects.resumed { follower.resume(returning: text) }
        if effects.mustWrite { writers.add(self) }
    }

    // MARK: Writing

    /// Writes the lines that wait, on a thread of `writers`.
    /// - Returns: whether more lines have come meanwhile.
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

    /// The end of the log: at most this many bytes, from the beginning of a line on. Invalid UTF-8 is replaced.
    package func tail(bytes: Int = 1 << 20) -> String {
        let files = files()
        return String(decoding: files.tail(bytes: bytes), as: UTF8.self)
    }

    /// The last lines of the log: at most this many.
    package func tail(lines: Int) -> String {
        let files = files()
        return String(decoding: files.tail(lines: lines), as: UTF8.self)
    }

    /// The last lines that were written for a request: at most `lines` lines and at most `bytes` bytes.
    package func tail(ofRequest requestID: String, lines: Int = .max, bytes: Int = 1 << 20) -> String {
        let files = files()
        let found = files.tail(lines: lines, bytes: bytes) { Self.isLine($0, ofRequest: requestID) }
        return String(decoding: found, as: UTF8.self)
    }

    /// Everything that was added until now, whether it is on the disk or not.
    ///
    /// - Parameter note: called under the lock, at the moment for which the files are opened.
    private func files(_ note: (inout State) -> Void = { _ in }) -> LogFiles {
        file.withLock { _ -> LogFiles in
            // Nothing is being written now: a line that does not wait is on the disk, or lost.
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

    /// More bytes than stand before a line's text.
    private static let prefixBytesMax = 512

    // MARK: Following

    /// The last lines, and all lines that come after them: no line between the two is missing.
    ///
    /// The later lines end when the log is closed. A reader that is too slow loses lines, and gets a line with their
    /// number.
    /// - Parameters:
    ///   - lines: how many of the last lines; 0 with a `requestID` stands for all lines of that request.
    ///   - requestID: selects, of the last lines, those that were written for this request.
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

    /// Adds a follower.
    ///
    /// - Returns: the follower's number; 0 when the log is closed.
    private static func begin(_ state: inout State) -> Int {
        if state.isClosed { return 0 }
        state.lastFollower += 1
        state.followers[state.lastFollower] = LogFollower()
        return state.lastFollower
    }

    /// Waits for the next line for a follower; nil at the end, and when the task is cancelled.
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
            removeFollower(follower)
        }
    }

    /// Ends a follower: it gets no more lines.
    func removeFollower(_ follower: Int) {
        let removed = state.withLock { $0.followers.removeValue(forKey: follower) }
        removed?.waiter?.resume(returning: nil)
    }

    /// How many followers there are now.
    package var followers: Int { state.withLock { $0.followers.count } }

    // MARK: The end

    /// Closes the log: lines that are added later are dropped. Each follower ends once it has the lines that came
    /// before.
    package func close() {
        end { _ in }
    }

    /// Closes the log and removes its files.
    package func remove() {
        end { state in
            state.isRemoved = true
            (state.waiting, state.waitingBytes) = ([], 0)
        }
        // Files that cannot be removed do no harm.
        try? Folder.remove(folder)
    }

    private func end(_ change: (inout State) -> Void) {
        let effects = state.withLock { state in
            state.isClosed = true
            change(&state)
            var effects = Effects()
            for number in Array(state.followers.keys) {
                guard let waiter = state.followers[number]?.waiter else { continue }
                state.followers[number] = nil
                effects.resumed.append((waiter, nil))
            }
            // The writer closes the file.
            if !state.isScheduled {
                state.isScheduled = true
                effects.mustWrite = true
            }
            return effects
        }
        perform(effects)
    }
}
