import DequeModule

/// One reader of a log as it grows. What does not fit is counted, and told before the next line that does. A value; the log
/// guards it.
struct LogFollower {
    typealias Waiter = CheckedContinuation<String?, Never>

    private var texts = Deque<String>()
    private var lost = 0
    /// Who waits for a line, while there is none.
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

    /// Who is to get which line now.
    mutating func takeWaiter() -> (Waiter, String?)? {
        guard let waiter, let text = texts.popFirst() else { return nil }
        self.waiter = nil
        return (waiter, text)
    }
}
