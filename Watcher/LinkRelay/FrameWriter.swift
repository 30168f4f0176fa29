import CLinux
import Glibc

/// Writes frames to a socket in the order in which they are given, and never has the giver wait: what the socket does not take
/// at once is written by a thread of this writer's.
final class FrameWriter: @unchecked Sendable {
    private let descriptor: Int32
    private let condition = Condition()
    // Under the condition's lock.
    private var queue: [[UInt8]] = []
    /// Bytes of the first that are written.
    private var written = 0
    private var isClosed = false

    /// - Parameter descriptor: closed by its owner, after ``close()``.
    init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    func send(_ frame: [UInt8]) {
        condition.withLock {
            guard !isClosed else { return }
            guard queue.isEmpty else { return queue.append(frame) }
            let count = sendNow(frame, from: 0)
            guard count < frame.count else { return }
            queue.append(frame)
            written = count
            condition.announce()
        }
    }

    /// Writes what waits; returns after ``close()``, or when the other end is gone.
    func run() {
        while true {
            let isOpen = condition.withLock { () -> Bool in
                while queue.isEmpty && !isClosed { condition.wait() }
                return !isClosed
            }
            guard isOpen, waitUntilWritable() else { return }
            condition.withLock {
                while let first = queue.first {
                    written += sendNow(first, from: written)
                    guard written == first.count else { break }
                    queue.removeFirst()
                    written = 0
                }
                if queue.isEmpty { condition.announce() }
            }
        }
    }

    /// Returns when all is written, the writer is closed, or the time is up.
    func drain(untilNanos end: Int64) {
        condition.withLock {
            while !queue.isEmpty && !isClosed, condition.wait(untilNanos: end) {}
        }
    }

    /// Nothing is written any more.
    func close() {
        condition.withLock {
            isClosed = true
            queue = []
            condition.announce()
        }
    }

    /// Bytes written; all of them where the other end is gone, as there is no more to be done about it.
    private func sendNow(_ frame: [UInt8], from start: Int) -> Int {
        frame.withUnsafeBytes { bytes in
            var sent = start
            while sent < bytes.count {
                let count = Glibc.send(
                    descriptor, bytes.baseAddress.map { $0 + sent }, bytes.count - sent,
                    Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
                if count > 0 {
                    sent += count
                } else if errno == EAGAIN {
                    return sent - start
                } else if errno != EINTR {
                    return bytes.count - start
                }
            }
            return sent - start
        }
    }

    private func waitUntilWritable() -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        while poll(&entry, 1, -1) < 0 {
            guard errno == EINTR else { return false }
        }
        return true
    }
}
