internal import Glibc
internal import Platform
internal import ProcessTree

extension ControlGroup {
    /// The control group of this process, if this process may make others in it and no other process is in it. A
    /// service with `Delegate=yes` has such a group.
    static func divisible() -> String? {
        guard let own = ownPath(), access("\(own)/cgroup.kill", W_OK) == 0, access(own, W_OK) == 0,
            access("\(own)/cgroup.procs", W_OK) == 0
        else { return nil }
        // In a container the first process, which started this one, is in the group, too.
        return ControlGroup(path: own).members.allSatisfy { $0 == getpid() || $0 == getppid() } ? own : nil
    }

    private static func ownPath() -> String? {
        guard let groups = try? WholeFile.read("/proc/self/cgroup", limit: 1 << 16),
            let mounts = try? WholeFile.read("/proc/self/mountinfo", limit: 4 << 20)
        else { return nil }
        return path(groups: String(decoding: groups, as: UTF8.self), mounts: String(decoding: mounts, as: UTF8.self))
    }

    /// The path of this process's control group.
    ///
    /// - Parameters:
    ///   - groups: the content of /proc/self/cgroup.
    ///   - mounts: the content of /proc/self/mountinfo.
    static func path(groups: String, mounts: String) -> String? {
        guard let line = groups.split(separator: "\n").first(where: { $0.hasPrefix("0::/") }) else { return nil }
        let path = line.dropFirst(3)
        for mount in mounts.split(separator: "\n") {
            let fields = mount.split(separator: " ", omittingEmptySubsequences: false)
            guard let end = fields.firstIndex(of: "-"), end + 1 < fields.count, fields[end + 1] == "cgroup2", end > 4
            else { continue }
            let root = fields[3] == "/" ? "" : fields[3]
            guard path == root || path.hasPrefix("\(root)/") else { continue }
            let rest = path.dropFirst(root.count)
            return "\(fields[4])\(rest == "/" ? "" : rest)"
        }
        return nil
    }
}
