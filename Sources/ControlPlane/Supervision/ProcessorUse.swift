internal import Glibc
internal import Platform

/// The processor time that a process and all its descendants have used, read from /proc.
struct ProcessorUse: Sendable, Equatable {
    /// A process that has ended counts if its parent has waited for it.
    var time: Duration
    /// Whether any of the processes is running or waits for a processor.
    var isRunnable: Bool

    /// Reads the use of the processes that exist now, in one pass over /proc. Nil if the process is gone.
    static func now(of pid: Int32) -> ProcessorUse? {
        var all: [Int32: Entry] = [:]
        for name in (try? Folder.names(at: "/proc")) ?? [] {
            guard let number = Int32(name), let stat = try? WholeFile.read("/proc/\(name)/stat", limit: 4096),
                let entry = parse(stat)
            else { continue }
            all[number] = entry
        }
        guard all[pid] != nil else { return nil }
        var ticks: UInt64 = 0
        var isRunnable = false
        for (number, entry) in all where isBelow(number, pid, all) {
            ticks += entry.ticks
            if entry.isRunnable { isRunnable = true }
        }
        let perSecond = Double(max(sysconf(Int32(_SC_CLK_TCK)), 1))
        return ProcessorUse(time: .seconds(Double(ticks) / perSecond), isRunnable: isRunnable)
    }

    struct Entry: Equatable {
        var parent: Int32
        var ticks: UInt64
        var isRunnable: Bool
    }

    /// Reads a line of /proc/PID/stat. The name of the program in it may hold blanks and parentheses.
    static func parse(_ stat: [UInt8]) -> Entry? {
        guard let nameEnd = stat.lastIndex(of: 0x29) else { return nil }
        let fields = stat[(nameEnd + 1)...].split(whereSeparator: { $0 == 0x20 || $0 == 0x0A })
        // User and system time of the process, then of the children that it has waited for.
        let times = fields.dropFirst(11).prefix(4).compactMap { UInt64(String(decoding: $0, as: UTF8.self)) }
        guard times.count == 4, let parent = Int32(String(decoding: fields[1], as: UTF8.self)) else { return nil }
        return Entry(parent: parent, ticks: times.reduce(0, &+), isRunnable: fields[0].first == UInt8(ascii: "R"))
    }

    private static func isBelow(_ number: Int32, _ top: Int32, _ all: [Int32: Entry]) -> Bool {
        var current = number
        // The table is not a snapshot, so it may hold a cycle, which must end.
        for _ in 0..<64 {
            if current == top { return true }
            guard let parent = all[current]?.parent, parent > 0 else { return false }
            current = parent
        }
        return false
    }
}
