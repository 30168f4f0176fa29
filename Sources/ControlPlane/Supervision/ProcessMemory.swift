import Glibc
import Platform

/// Reads the memory of processes from /proc.
enum ProcessMemory {
    /// The resident bytes of all these processes. A page that several of them share counts for each of them. Only if
    /// the sum is above the limit is it divided among them, because the kernel takes a while to work that out.
    static func resident(of pids: [Int32], limit: UInt64) -> UInt64 {
        let page = UInt64(sysconf(Int32(_SC_PAGESIZE)))
        let whole = pids.reduce(UInt64(0)) { sum, pid in sum + (pages(of: pid) ?? 0) * page }
        guard whole > limit else { return whole }
        return pids.reduce(UInt64(0)) { sum, pid in sum + (share(of: pid) ?? (pages(of: pid) ?? 0) * page) }
    }

    /// The resident pages of a process. Nil if it has ended.
    private static func pages(of pid: Int32) -> UInt64? {
        guard let text = try? WholeFile.read("/proc/\(pid)/statm", limit: 4096) else { return nil }
        return parse(statm: text)
    }

    /// The proportional share of a process, in bytes. Nil if it cannot be read.
    private static func share(of pid: Int32) -> UInt64? {
        guard let text = try? WholeFile.read("/proc/\(pid)/smaps_rollup", limit: 65536) else { return nil }
        return parse(rollup: String(decoding: text, as: UTF8.self))
    }

    /// The resident pages, from /proc/PID/statm.
    static func parse(statm: [UInt8]) -> UInt64? {
        let fields = statm.split(whereSeparator: { $0 == 0x20 || $0 == 0x0A })
        return fields.count > 1 ? UInt64(String(decoding: fields[1], as: UTF8.self)) : nil
    }

    /// The proportional share, in bytes, from /proc/PID/smaps_rollup.
    static func parse(rollup: String) -> UInt64? {
        for line in rollup.split(separator: "\n") where line.hasPrefix("Pss:") {
            let words = line.split(separator: " ")
            return words.count > 1 ? UInt64(words[1]).map { $0 << 10 } : nil
        }
        return nil
    }
}
