internal import Environments
internal import Glibc

/// How much of the programs' code stays in the process's memory.
///
/// A start and a deploy run code that calls never do: databases, YAML, HTTP clients. The kernel leaves it mapped, a third of all
/// that the process holds. Given back, what is needed is mapped again from the page cache when it next runs, some thousand
/// instructions a page and no disk.
enum CodeMemory {
    private static let mapsBytesMax = 4 << 20

    /// Gives back all code. Nothing else: it is never written, so that nothing can be lost. Takes less than a millisecond.
    static func giveBack() {
        guard let maps = try? WholeFile.read("/proc/self/maps", limit: mapsBytesMax) else { return }
        for line in maps.split(separator: 0x0A) {
            guard let range = codeRange(String(decoding: line, as: UTF8.self)) else { continue }
            madvise(UnsafeMutableRawPointer(bitPattern: range.lowerBound), range.count, MADV_DONTNEED)
        }
    }

    /// The addresses of a line of /proc/PID/maps, if a file's code lies there: `5f0-6a0 r-xp 0 fe:00 12 /bin/dcf`.
    static func codeRange(_ line: String) -> Range<UInt>? {
        let words = line.split(separator: " ", omittingEmptySubsequences: true)
        guard words.count >= 6, words[1] == "r-xp", words[5].hasPrefix("/") else { return nil }
        let ends = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
        guard ends.count == 2, ends[0] < ends[1] else { return nil }
        return ends[0]..<ends[1]
    }
}
