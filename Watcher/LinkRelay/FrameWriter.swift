import CLinux
import Glibc

/// Writes frames to a socket in the order in which they are given. ``send(_:)`` never blocks: a thread in ``run()``
/// writes the bytes that the socket does not take at once.
///
/// Sendable: the condition's lock guards all that changes.
final class FrameWriter: @unchecked Sendable {
    private let descriptor: Int32
    private let condition = Condition()
    // Under the condition's lock.
    private var queue: [[UInt8]] = []
    /// How many bytes of the first frame are written.
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

    /// Writes the waiting frames; returns after ``close()``, or when waiting for the socket fails.
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

    /// Waits until all frames are written, the writer is closed, or the time is up.
    func drain(untilNanos end: Int64) {
        condition.withLock {
            while !queue.isEmpty && !isClosed, condition.wait(untilNanos: end) {}
        }
    }

    /// Drops the waiting frames and all later ones.
    func close() {
        condition.withLock {
            isClosed = true
            queue = []
            condition.announce()
        }
    }

    /// Writes without blocking.
    ///
    /// - Returns: the bytes written; all of them when the other end is gone, so that the frame is dropped.
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
