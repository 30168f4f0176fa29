import Platform

/// Splits a stream of bytes into lines of text and replaces invalid UTF-8. Never holds more than one line of the limit.
struct LineSplitter {
    /// The longest line in bytes. A longer line is cut into several.
    let limit: Int
    private var pending: [UInt8] = []

    init(limit: Int) {
        self.limit = limit
    }

    mutating func add(_ bytes: UnsafeRawBufferPointer, each: (String) -> Void) {
        for byte in bytes {
            if byte == 0x0A {
                finish(each: each, always: true)
            } else {
                pending.append(byte)
                if pending.count >= limit { finish(each: each) }
            }
        }
    }

    /// Passes on the bytes that have no line end yet.
    mutating func finish(each: (String) -> Void, always: Bool = false) {
        if pending.last == 0x0D { pending.removeLast() }
        if always || !pending.isEmpty { each(String(decoding: pending, as: UTF8.self)) }
        pending.removeAll(keepingCapacity: true)
    }
}

/// The last lines of a child's output, at most `limit`. Safe to share with the thread that adds lines.
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
