import Locks

/// The last lines of a child's output, at most `limit`. Shared with the reader that fills it.
package final class LineCollector: Sendable {
    private let limit: Int
    private let lines = Lock<[String]>([])

    package init(limit: Int) {
        self.limit = limit
    }

    package func add(_ line: String) {
        lines.withLock { lines in
            lines.append(line)
            if lines.count > limit { lines.removeFirst(lines.count - limit) }
        }
    }

    package var all: [String] { lines.withLock { $0 } }
}
