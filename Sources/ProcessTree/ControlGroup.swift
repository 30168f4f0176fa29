import Glibc

/// A control group (cgroup v2) of one tree of processes: the kernel lists and kills the processes in it.
///
/// That needs no controller, and none is switched on. If an operation fails, the tree's mark still finds its processes.
package struct ControlGroup: Sendable {
    package let path: String

    package init(path: String) {
        self.path = path
    }

    /// Makes a group below a parent group that this process may write to; nil if that fails.
    package static func make(in parent: String, _ mark: ProcessMark) -> ControlGroup? {
        let path = "\(parent)/\(prefix(mark.family))\(mark.number)"
        return mkdir(path, 0o755) == 0 ? ControlGroup(path: path) : nil
    }

    /// The existing groups of a family.
    package static func all(in parent: String, family: UInt32) -> [ControlGroup] {
        guard let folder = opendir(parent) else { return [] }
        defer { closedir(folder) }
        var found: [ControlGroup] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasPrefix(prefix(family)) { found.append(ControlGroup(path: "\(parent)/\(name)")) }
        }
        return found
    }

    /// Moves a process into the group, and with it every process that it starts from now on; 0 is this process.
    package func add(_ pid: Int32) { write("\(pid)", to: "cgroup.procs") }

    /// Kills all processes in the group at once; none of them can fork meanwhile.
    package func kill() { write("1", to: "cgroup.kill") }

    /// The processes in the group that have not ended.
    package var members: [Int32] {
        guard let file = fopen("\(path)/cgroup.procs", "re") else { return [] }
        defer { fclose(file) }
        var found: [Int32] = []
        var line = [CChar](repeating: 0, count: 32)
        while fgets(&line, Int32(line.count), file) != nil {
            let pid = Int32(clamping: strtol(line, nil, 10))
            if pid > 0 { found.append(pid) }
        }
        return found
    }

    /// Removes the group; fails while it has processes.
    package func remove() { rmdir(path) }

    private static func prefix(_ family: UInt32) -> String { "dcf-\(family)-" }

    private func write(_ text: String, to name: String) {
        let file = open("\(path)/\(name)", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        defer { close(file) }
        let bytes = Array(text.utf8)
        _ = Glibc.write(file, bytes, bytes.count)
    }
}
