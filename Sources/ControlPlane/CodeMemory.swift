internal import Glibc
internal import Platform

/// Gives the memory of the program's code back to the kernel.
///
/// A start and a deploy run code that calls never run: databases, YAML, HTTP clients. The kernel keeps this code
/// mapped, and it is a third of the memory that the process holds. After it is given back, the kernel maps a page again
/// from the page cache when its code next runs. This costs some thousand instructions a page and no disk access.
enum CodeMemory {
    private static let mapsBytesMax = 4 << 20

    /// Gives back all pages of code, and nothing else. Code is never written, so nothing can be lost. Takes less than a
    /// millisecond.
    static func giveBack() {
        guard let maps = try? WholeFile.read("/proc/self/maps", limit: mapsBytesMax) else { return }
        for line in maps.split(separator: 0x0A) {
            guard let range = codeRange(String(decoding: line, as: UTF8.self)) else { continue }
            madvise(UnsafeMutableRawPointer(bitPattern: range.lowerBound), range.count, MADV_DONTNEED)
        }
    }

    /// The address range of one line of /proc/PID/maps, if the line maps code from a file: `5f0-6a0 r-xp 0 fe:00 12
    /// /bin/dcf`.
    static func codeRange(_ line: String) -> Range<UInt>? {
        let words = line.split(separator: " ", omittingEmptySubsequences: true)
        guard words.count >= 6, words[1] == "r-xp", words[5].hasPrefix("/") else { return nil }
        let ends = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
        guard ends.count == 2, ends[0] < ends[1] else { return nil }
        return ends[0]..<ends[1]
    }
}
