internal import Locks

/// The last lines that a process wrote, on all its pipes: what its end is told with. Safe from any thread.
package final class LastLines: Sendable {
    /// So many are kept, and so many bytes of each.
    private static let linesMax = 20
    private static let lineBytesMax = 300
    /// What goes along with a status must fit into a few kilobytes of metadata.
    private static let bytesMax = 2_000

    private let lines = Lock<[String]>([])

    package init() {}

    package func add(_ line: some Collection<UInt8>) {
        var text = String(decoding: line.prefix(Self.lineBytesMax), as: UTF8.self)
        if line.count > Self.lineBytesMax { text += "..." }
        lines.withLock { lines in
            if lines.count == Self.linesMax { lines.removeFirst() }
            lines.append(text)
        }
    }

    /// Them, the oldest first.
    package var all: [String] { lines.withLock { $0 } }

    /// The last of these that fit, without those that a traceback says, too.
    package static func of(_ lines: [String], besides traceback: String) -> [String] {
        let said = Set(traceback.split(whereSeparator: \.isNewline).map(String.init))
        var kept: [String] = []
        var bytes = 0
        for line in lines.reversed() where !said.contains(line) && !line.allSatisfy(\.isWhitespace) {
            bytes += line.utf8.count
            if bytes > bytesMax { break }
            kept.append(line)
        }
        return kept.reversed()
    }
}
