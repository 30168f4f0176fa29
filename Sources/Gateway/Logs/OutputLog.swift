internal import CLinux
internal import Glibc
internal import Locks

/// The gateway's own log on its way to a descriptor, standard error, that somebody may not read: lines wait in memory for a
/// thread that writes them. What finds no room is dropped and counted, and how many is said when lines flow again. Logging never waits.
package final class OutputLog: @unchecked Sendable {
    // @unchecked: `batch` belongs to the thread.
    private struct State {
        var lines: [[UInt8]] = []
        var bytes = 0
        var dropped = 0
        /// Whether the thread rests, and was not woken.
        var isResting = false
        var isStarted = false
        /// Those who wait until everything is written.
        var flushing = 0
    }

    private let descriptor: Int32
    private let bytesMax: Int
    private let describe: @Sendable (_ dropped: Int) -> String
    private let state = Lock(State())
    private let wakeup = Semaphore()
    private let emptied = Semaphore()

    /// - Parameters:
    ///   - bytesMax: what may wait.
    ///   - describe: the line that tells how many were dropped.
    package init(
        descriptor: Int32 = STDERR_FILENO, bytesMax: Int = 1 << 20, describe: @escaping @Sendable (Int) -> String
    ) {
        self.descriptor = descriptor
        self.bytesMax = bytesMax
        self.describe = describe
    }

    /// - Parameter line: with its end.
    package func write(_ line: String) {
        let bytes = Array(line.utf8)
        let (wakes, starts) = state.withLock { state in
            guard state.lines.isEmpty || state.bytes + bytes.count <= bytesMax else {
                state.dropped += 1
                return (false, false)
            }
            state.lines.append(bytes)
            state.bytes += bytes.count
            defer {
                state.isResting = false
                state.isStarted = true
            }
            return (state.isResting, !state.isStarted)
        }
        if wakes { wakeup.post() }
        if starts, !BlockingThread.start({ [self] in run() }) { state.withLock { $0.isStarted = false } }
    }

    /// Waits until everything is written: at the end of the process.
    ///
    /// - Returns: whether it was, within `limit`.
    @discardableResult
    package func flush(within limit: Duration) -> Bool {
        let isEmpty = state.withLock { state in
            guard state.isStarted, !state.isResting else { return state.lines.isEmpty }
            state.flushing += 1
            return false
        }
        return isEmpty || emptied.wait(atMost: limit)
    }

    private func run() {
        _ = dcf_prctl_name("own-log")
        while true {
            let (batch, dropped, flushing) = state.withLock { state -> ([[UInt8]], Int, Int) in
                if state.lines.isEmpty, state.dropped == 0 {
                    state.isResting = true
                    defer { state.flushing = 0 }
                    return ([], 0, state.flushing)
                }
                defer { (state.lines, state.bytes, state.dropped) = ([], 0, 0) }
                return (state.lines, state.dropped, 0)
            }
            for line in batch { write(all: line) }
            if dropped > 0 { write(all: Array(describe(dropped).utf8)) }
            guard batch.isEmpty, dropped == 0 else { continue }
            for _ in 0..<flushing { emptied.post() }
            wakeup.wait()
        }
    }

    /// Waits for whoever reads.
    private func write(all bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                dcf_wait_writable(descriptor)
            } else if errno != EINTR {
                // Nobody can read it any more.
                return
            }
        }
    }
}
