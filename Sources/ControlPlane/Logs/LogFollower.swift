import DequeModule

/// The state of one reader of a log that grows. Lines that do not fit are counted, and the next line that fits is
/// preceded by one with the count.
///
/// A value. The log's lock guards it.
struct LogFollower {
    typealias Waiter = CheckedContinuation<String?, Never>

    private var texts = Deque<String>()
    private var lost = 0
    /// The reader's continuation while it waits for a line.
    var waiter: Waiter?

    mutating func add(_ text: String, atMost linesMax: Int) {
        if lost > 0 {
            guard texts.count < linesMax else { return lost += 1 }
            texts.append("\(lost) lines lost: they came faster than they were read\n")
            lost = 0
        }
        guard texts.count < linesMax else { return lost += 1 }
        texts.append(text)
    }

    mutating func next() -> String? { texts.popFirst() }

    /// The continuation to resume now, and the line to resume it with; nil when the reader does not wait or there is no
    /// line.
    mutating func takeWaiter() -> (Waiter, String?)? {
        guard let waiter, let text = texts.popFirst() else { return nil }
        self.waiter = nil
        return (waiter, text)
    }
}

/// The lines of a log from some moment on, for one reader. The reader stops by cancelling its task or by releasing the
/// sequence.
package final class LogLines: AsyncSequence, Sendable {
    private let log: FunctionLog
    private let number: Int

    /// - Parameter number: the number by which the log knows its follower.
    init(of log: FunctionLog, number: Int) {
        self.log = log
        self.number = number
    }

    deinit { log.removeFollower(number) }

    package func makeAsyncIterator() -> Iterator { Iterator(lines: self) }

    package struct Iterator: AsyncIteratorProtocol {
        fileprivate let lines: LogLines

        package mutating func next() async -> String? { await lines.log.next(lines.number) }
    }
}
