import Glibc

/// Splits the output of a replica into lines for its log. It never holds more than the part of one line that is kept.
///
/// A line that a watcher wrote for a request begins with a marker, `\x1e<request>\x1f`. The reader removes the marker.
/// Raw output without a line end before a marker is a line of its own.
struct LogLineReader {
    struct Line: Equatable {
        var text: ArraySlice<UInt8>
        var requestID: String?
        /// The length of the whole line when only its beginning was kept.
        var fullBytes: Int?
    }

    private static let markerStart: UInt8 = 0x1E
    private static let markerEnd: UInt8 = 0x1F
    private static let requestIDBytesMax = 256

    /// The most of a line that is kept, in bytes.
    let lineBytes: Int
    private var pending: [UInt8] = []
    private var pendingFullBytes = 0

    init(lineBytes: Int) {
        self.lineBytes = lineBytes
    }

    /// How much of an unfinished line is held, in bytes.
    var heldBytes: Int { pending.count }

    mutating func add(_ bytes: UnsafeRawBufferPointer, each: (Line) -> Void) {
        var start = bytes.startIndex
        while start < bytes.endIndex {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[start...])
            let length = Self.lineLength(rest)
            let end = start + length
            let room = max(0, lineBytes + Self.requestIDBytesMax - pending.count)
            if room > 0 { pending.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest[..<min(length, room)])) }
            pendingFullBytes += end - start
            if end < bytes.endIndex { finish(each: each, always: true) }
            start = end + 1
        }
    }

    /// Ends the last line, if it has no line end yet.
    mutating func finish(each: (Line) -> Void) {
        finish(each: each, always: false)
    }

    private mutating func finish(each: (Line) -> Void, always: Bool) {
        defer {
            pending.removeAll(keepingCapacity: true)
            pendingFullBytes = 0
        }
        if pending.isEmpty, !always { return }
        let left = pendingFullBytes - pending.count
        var rest = pending[...]
        if left == 0, rest.last == 0x0D { rest.removeLast() }
        var requestID: String?
        while let marker = Self.marker(in: rest) {
            let before = rest[..<marker.start]
            if !before.isEmpty { each(Line(text: before, requestID: requestID)) }
            requestID = marker.requestID
            rest = rest[marker.end...]
        }
        each(Line(text: rest, requestID: requestID, fullBytes: left > 0 ? rest.count + left : nil))
    }

    /// The number of bytes before the first line end, or of all bytes when there is none.
    private static func lineLength(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let base = bytes.baseAddress, let end = memchr(base, 0x0A, bytes.count) else { return bytes.count }
        return UnsafeRawPointer(end) - base
    }

    private static func marker(in bytes: ArraySlice<UInt8>) -> (start: Int, end: Int, requestID: String)? {
        var search = bytes
        while let start = search.firstIndex(of: markerStart) {
            let inside = bytes[(start + 1)...].prefix(requestIDBytesMax + 1)
            if let end = inside.firstIndex(of: markerEnd), end > start + 1,
                bytes[(start + 1)..<end].allSatisfy({ (0x21...0x7E).contains($0) })
            {
                return (start, end + 1, String(decoding: bytes[(start + 1)..<end], as: UTF8.self))
            }
            search = bytes[(start + 1)...]
        }
        return nil
    }
}
