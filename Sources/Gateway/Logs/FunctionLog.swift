import Environments
import Glibc
import Synchronization

/// The log of one function: lines in rotated files `log`, `log.1` (the one before) to `log.4`, in a folder of its own.
///
/// A line reads `2026-01-02T03:04:05.678Z 1 stdout 4f2a text`: time, replica, stream, request (or `-`), text. Adding never
/// fails and never waits for anything but the disk: what comes too fast or finds the disk full is dropped and counted, and the
/// next line that fits is preceded by one that tells how many. The last line of what came too fast is not lost: it is
/// held until it is quiet. Safe from any thread.
package final class FunctionLog: Sendable {
    private struct State: ~Copyable {
        var file: OwnedDescriptor?
        var fileBytes = 0
        var rate: LogRate
        /// Lines dropped since the last that was written.
        var droppedForRate = 0
        /// The last of them, and when it came.
        var held: (line: LogLine, since: Duration)?
        var droppedForDisk = 0
        var lastFollower = 0
        var followers: [Int: LogFollower] = [:]
        var isClosed = false
    }

    package let folder: String
    private let limits: FunctionLogLimits
    private let milliseconds: @Sendable () -> Int64
    private let uptime: @Sendable () -> Duration
    private let state: Mutex<State>

    /// - Parameters:
    ///   - folder: made when the first line comes.
    ///   - milliseconds: the time of day, since 1970.
    ///   - uptime: time since some fixed moment.
    package init(
        folder: String, limits: FunctionLogLimits = FunctionLogLimits(),
        milliseconds: @escaping @Sendable () -> Int64 = LogTime.now,
        uptime: @escaping @Sendable () -> Duration = LogTime.uptime
    ) {
        self.folder = folder
        self.limits = limits
        self.milliseconds = milliseconds
        self.uptime = uptime
        state = Mutex(State(rate: LogRate(bytesPerSecond: limits.bytesPerSecond)))
    }

    /// Adds a line.
    /// - Parameters:
    ///   - text: without its line end; of a line that was too long to be kept, the beginning.
    ///   - fullBytes: how long the line was; nil when `text` is all of it.
    package func append(
        _ text: some Collection<UInt8>, replica: Int, stream: LogStream, requestID: String? = nil, fullBytes: Int? = nil
    ) {
        state.withLock { state in
            if state.isClosed { return }
            let line = LogLine(
                text: Array(text.prefix(limits.lineBytes)), fullBytes: fullBytes ?? text.count, replica: replica,
                stream: stream, requestID: requestID, milliseconds: milliseconds())
            let now = uptime()
            guard state.rate.take(line.text.count + 40, now: now) else {
                state.droppedForRate += 1
                state.held = (line, now)
                return
            }
            state.held = nil
            write(line, &state)
        }
    }

    /// Writes the line that is held, if none came too fast for `quiet`.
    /// - Returns: whether a line is still held.
    @discardableResult
    package func settle(after quiet: Duration) -> Bool {
        state.withLock { state in
            guard let held = state.held else { return false }
            guard uptime() - held.since >= quiet else { return true }
            state.held = nil
            state.droppedForRate -= 1
            write(held.line, &state)
            return false
        }
    }

    /// Whether a line waits for `settle`.
    var holdsLine: Bool { state.withLock { $0.held != nil } }

    /// Adds the lines of a text.
    package func append(text: String, replica: Int, stream: LogStream, requestID: String? = nil) {
        for line in text.utf8.split(separator: 0x0A) {
            append(line, replica: replica, stream: stream, requestID: requestID)
        }
    }

    /// The end of the log, at most this many bytes, from the beginning of a line on; invalid UTF-8 replaced.
    package func tail(bytes: Int = 1 << 20) -> String {
        let files = state.withLock { _ in LogFiles(folder: folder, count: limits.files) }
        return String(decoding: files.tail(bytes: bytes), as: UTF8.self)
    }

    /// The last lines, at most this many.
    package func tail(lines: Int) -> String {
        let files = state.withLock { _ in LogFiles(folder: folder, count: limits.files) }
        return String(decoding: files.tail(lines: lines), as: UTF8.self)
    }

    /// The last lines that were written for a request, at most this many and at most `bytes`.
    package func tail(ofRequest requestID: String, lines: Int = .max, bytes: Int = 1 << 20) -> String {
        let files = state.withLock { _ in LogFiles(folder: folder, count: limits.files) }
        let found = files.tail(lines: lines, bytes: bytes) { Self.isLine($0, ofRequest: requestID) }
        return String(decoding: found, as: UTF8.self)
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

    /// The last lines and everything from there on, nothing missing between. The stream ends when the log is closed; one that
    /// is read too slowly loses lines and is told how many.
    /// - Parameter requestID: of the last lines only those that were written for this request; all of them where `lines` is 0.
    package func follow(
        lines: Int = 0, ofRequest requestID: String? = nil
    ) -> (earlier: String, later: AsyncStream<String>) {
        let (stream, continuation) = AsyncStream.makeStream(
            of: String.self, bufferingPolicy: .bufferingOldest(limits.followerLines))
        var number = 0
        let files = state.withLock { state in
            if !state.isClosed {
                state.lastFollower += 1
                number = state.lastFollower
                state.followers[number] = LogFollower(continuation: continuation)
            }
            return LogFiles(folder: folder, count: lines > 0 || requestID != nil ? limits.files : 0)
        }
        let follower = number
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { _ = $0.followers.removeValue(forKey: follower) }
        }
        if follower == 0 { continuation.finish() }
        guard let requestID else { return (String(decoding: files.tail(lines: lines), as: UTF8.self), stream) }
        let found = files.tail(lines: lines > 0 ? lines : .max, bytes: 1 << 20) {
            Self.isLine($0, ofRequest: requestID)
        }
        return (String(decoding: found, as: UTF8.self), stream)
    }

    /// How many follow at the moment.
    package var followers: Int { state.withLock { $0.followers.count } }

    /// Ends the log and every follower's stream; what is added later is dropped.
    package func close() {
        let followers = state.withLock { state -> [LogFollower] in
            state.isClosed = true
            state.file = nil
            defer { state.followers = [:] }
            return Array(state.followers.values)
        }
        for follower in followers { follower.continuation.finish() }
    }

    private func write(_ line: LogLine, _ state: inout State) {
        var bytes: [UInt8] = []
        func note(_ text: String) {
            let note = LogLine(
                text: Array(text.utf8), replica: line.replica, stream: .gateway, milliseconds: milliseconds())
            bytes += note.bytes
        }
        if state.droppedForRate > 0 {
            note("\(state.droppedForRate) lines dropped: more than \(limits.bytesPerSecond) bytes a second")
        }
        if state.droppedForDisk > 0 {
            note("\(state.droppedForDisk) lines dropped: the log could not be written")
        }
        let noteBytes = bytes.count
        bytes += line.bytes
        guard put(bytes, &state) else {
            state.droppedForDisk += 1
            return
        }
        state.droppedForRate = 0
        state.droppedForDisk = 0
        state.rate.charge(noteBytes)
        if state.followers.isEmpty { return }
        var texts = [String(decoding: bytes[noteBytes...], as: UTF8.self)]
        if noteBytes > 0 { texts.insert(String(decoding: bytes[..<noteBytes], as: UTF8.self), at: 0) }
        for number in Array(state.followers.keys) {
            for text in texts { state.followers[number]?.send(text) }
        }
    }

    /// Writes all of it, or nothing that stays.
    private func put(_ bytes: [UInt8], _ state: inout State) -> Bool {
        do throws(FileError) {
            if state.file == nil { try open(&state) }
            if state.fileBytes > 0, state.fileBytes + bytes.count > limits.fileBytes {
                state.file = nil
                try rotate()
                try open(&state)
            }
            guard let file = state.file.take() else { return false }
            do throws(FileError) {
                try file.write(bytes, path: folder)
            } catch {
                // A part of a line may have found room; the file ends with a whole one again.
                ftruncate(file.rawValue, off_t(state.fileBytes))
                state.file = consume file
                throw error
            }
            state.file = consume file
            state.fileBytes += bytes.count
            return true
        } catch { return false }
    }

    private func open(_ state: inout State) throws(FileError) {
        try Folder.make(folder)
        let path = folder + "/log"
        let file = try OwnedDescriptor(path, flags: O_WRONLY | O_CREAT | O_APPEND, mode: 0o644)
        state.fileBytes = Int(try file.status(path: path).st_size)
        state.file = consume file
    }

    private func rotate() throws(FileError) {
        for number in stride(from: limits.files - 1, through: 1, by: -1) {
            let older = "\(folder)/log.\(number)"
            let newer = number == 1 ? folder + "/log" : "\(folder)/log.\(number - 1)"
            if Folder.holds(newer) { try Folder.rename(newer, to: older) }
        }
        if limits.files == 1 { try Folder.remove(folder + "/log") }
    }
}
