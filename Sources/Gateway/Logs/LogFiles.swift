import CLinux
import Environments
import Glibc

/// The files of a log as they were at one moment, open to be read even if they are renamed or removed meanwhile.
struct LogFiles: ~Copyable {
    /// How much is read at a time, from the end backwards.
    private static let pieceBytes = 256 << 10

    private struct Part {
        /// -1 where it is in memory.
        let descriptor: CInt
        var memory: [UInt8] = []
        let bytes: Int
    }

    /// The newest first.
    private var parts: [Part] = []

    /// Opens `log`, `log.1` and so on, `count` in all, as far as they are there.
    ///
    /// - Parameter unwritten: whole lines that come after them.
    init(folder: String, count: Int, unwritten: [UInt8] = []) {
        if !unwritten.isEmpty { parts.append(Part(descriptor: -1, memory: unwritten, bytes: unwritten.count)) }
        for number in 0..<count {
            let path = number == 0 ? folder + "/log" : "\(folder)/log.\(number)"
            guard let file = try? OwnedDescriptor(path, flags: O_RDONLY | O_NONBLOCK),
                let status = try? file.status(path: path)
            else { continue }
            parts.append(Part(descriptor: file.release(), bytes: Int(status.st_size)))
        }
    }

    deinit {
        for part in parts where part.descriptor >= 0 { close(part.descriptor) }
    }

    /// At most this many bytes of the end, from a line's beginning on.
    func tail(bytes wanted: Int) -> [UInt8] {
        // One byte more tells whether the first line is whole.
        let bytes = read(upTo: wanted + 1) { _ in false }
        guard bytes.count > wanted else { return bytes }
        guard let end = bytes.firstIndex(of: 0x0A) else { return Array(bytes.dropFirst()) }
        return Array(bytes[(end + 1)...])
    }

    /// At most this many lines of the end.
    func tail(lines wanted: Int) -> [UInt8] {
        guard wanted > 0 else { return [] }
        var ends = 0
        // The last line's own end is the first that is met.
        let bytes = read(upTo: .max) { piece in
            ends += piece.count { $0 == 0x0A }
            return ends > wanted
        }
        var left = wanted + 1
        for index in bytes.indices.reversed() where bytes[index] == 0x0A {
            left -= 1
            if left == 0 { return Array(bytes[(index + 1)...]) }
        }
        return bytes
    }

    /// Those lines of all that `isWanted`: the last ones, at most this many and at most this many bytes.
    func tail(lines linesMax: Int, bytes bytesMax: Int, where isWanted: (ArraySlice<UInt8>) -> Bool) -> [UInt8] {
        var found: [[UInt8]] = []
        var size = 0
        // The end of a line whose beginning lies in the piece before.
        var rest: [UInt8] = []
        /// - Returns: whether there is room for more.
        func take(_ line: ArraySlice<UInt8>) -> Bool {
            guard !line.isEmpty, isWanted(line) else { return true }
            guard found.count < linesMax, size + line.count + 1 <= bytesMax else { return false }
            found.append(Array(line) + [0x0A])
            size += line.count + 1
            return true
        }
        for part in parts {
            var end = part.bytes
            while end > 0 {
                let start = max(0, end - Self.pieceBytes)
                let bytes = Self.read(part, from: start, to: end) + rest
                end = start
                var lineEnd = bytes.endIndex
                while let feed = bytes[..<lineEnd].lastIndex(of: 0x0A) {
                    guard take(bytes[(feed + 1)..<lineEnd]) else { return Array(found.reversed().joined()) }
                    lineEnd = feed
                }
                rest = Array(bytes[..<lineEnd])
            }
            // A file begins with a whole line.
            guard take(rest[...]) else { break }
            rest = []
        }
        return Array(found.reversed().joined())
    }

    /// Reads pieces from the end backwards until there is enough, or `isEnough` says so of a piece; in the files' order.
    private func read(upTo wanted: Int, isEnough: ([UInt8]) -> Bool) -> [UInt8] {
        var pieces: [[UInt8]] = []
        var left = wanted
        reading: for part in parts {
            var end = part.bytes
            while end > 0, left > 0 {
                let piece = Self.read(part, from: max(0, end - min(Self.pieceBytes, left)), to: end)
                end -= min(end, min(Self.pieceBytes, left))
                left -= piece.count
                pieces.append(piece)
                if isEnough(piece) { break reading }
            }
        }
        if pieces.count == 1 { return pieces[0] }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(pieces.reduce(0) { $0 + $1.count })
        for piece in pieces.reversed() { bytes += piece }
        return bytes
    }

    private static func read(_ part: Part, from start: Int, to end: Int) -> [UInt8] {
        if part.descriptor < 0 { return Array(part.memory[start..<end]) }
        return [UInt8](unsafeUninitializedCapacity: end - start) { buffer, count in
            while count < end - start {
                let place = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[count...])
                let got = retrying { pread(part.descriptor, place.baseAddress, place.count, off_t(start + count)) }
                if got <= 0 { break }
                count += got
            }
        }
    }
}
