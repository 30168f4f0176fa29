import Glibc

/// A control group (cgroup v2) of one tree of processes: the kernel lists and kills all that is in it.
///
/// No controller is needed for that, and none is switched on. Whatever fails leaves the tree to its mark.
package struct ControlGroup: Sendable {
    package let path: String

    package init(path: String) {
        self.path = path
    }

    /// Makes it below a group that may be written to; nil where that fails.
    package static func make(in parent: String, _ mark: ProcessMark) -> ControlGroup? {
        let path = "\(parent)/\(prefix(mark.family))\(mark.number)"
        return mkdir(path, 0o755) == 0 ? ControlGroup(path: path) : nil
    }

    /// Those of a family that there are.
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

    /// Moves a process in, and so all that it starts from now on; 0 is this one.
    package func take(_ pid: Int32) { write("\(pid)", to: "cgroup.procs") }

    /// Ends all that is in it, at once; nothing in it can fork meanwhile.
    package func kill() { write("1", to: "cgroup.kill") }

    /// The processes in it that have not ended.
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

    /// Takes it away once nothing is in it.
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
