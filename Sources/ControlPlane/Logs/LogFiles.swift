import CLinux
import Glibc
import Platform

/// The files of a log as they were at one moment. They are open, so they can be read even after they are renamed or
/// removed.
struct LogFiles: ~Copyable {
    /// How much is read at a time, in bytes. Reading goes from the end backwards.
    private static let pieceBytes = 256 << 10

    private struct Part {
        /// -1 when the part is in memory.
        let descriptor: CInt
        var memory: [UInt8] = []
        let bytes: Int
    }

    /// The newest part first.
    private var parts: [Part] = []

    /// Opens those of `log`, `log.1` and so on that exist, up to `count` files.
    ///
    /// - Parameter unwritten: whole lines that come after the files' lines.
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

    /// The end of the log: at most this many bytes, from a line's beginning on.
    func tail(bytes wanted: Int) -> [UInt8] {
        // One more byte shows whether the first line is whole.
        let bytes = read(upTo: wanted + 1) { _ in false }
        guard bytes.count > wanted else { return bytes }
        guard let end = bytes.firstIndex(of: 0x0A) else { return Array(bytes.dropFirst()) }
        return Array(bytes[(end + 1)...])
    }

    /// The end of the log: at most this many lines.
    func tail(lines wanted: Int) -> [UInt8] {
        guard wanted > 0 else { return [] }
        var ends = 0
        // The first line end that is met is the last line's own.
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

    /// The last of the lines for which `isWanted` is true: at most `linesMax` lines and at most `bytesMax` bytes.
    func tail(lines linesMax: Int, bytes bytesMax: Int, where isWanted: (ArraySlice<UInt8>) -> Bool) -> [UInt8] {
        var found: [[UInt8]] = []
        var size = 0
        // The end of a line that begins in the piece before.
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

    /// Reads pieces from the end backwards until it has `wanted` bytes or `isEnough` returns true for a piece.
    ///
    /// - Returns: the bytes in the order of the files.
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
