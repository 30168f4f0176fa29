internal import CLinux
internal import Glibc
internal import ProcessTree

/// A replica's process and all that comes from it, wherever that goes: to another group, another session, another parent.
package final class ReplicaTree: Sendable {
    private let mark: ProcessMark
    private let group: ControlGroup?
    private let containment: Containment

    init(_ mark: ProcessMark, group: ControlGroup?, in containment: Containment) {
        self.mark = mark
        self.group = group
        self.containment = containment
    }

    deinit { group?.remove() }

    /// What the launcher is told, so that the process that it becomes is the tree's root.
    var arguments: [String] {
        ["--mark", "\(mark.rawValue)"] + (group.map { ["--group", $0.path] } ?? [])
    }

    /// Makes a process that has been forked and does nothing yet the tree's root.
    func adopt(_ pid: Int32) {
        group?.take(pid)
        mark.put(on: pid)
    }

    /// The processes of it that have not ended.
    ///
    /// - Parameter moment: on the monotonic clock; the answer is not older.
    func members(since moment: Int64) -> [Int32] {
        let marked = containment.members(of: mark, since: moment)
        guard let group else { return marked }
        return Array(Set(marked).union(group.members))
    }

    /// Ends what the root has left behind. What ends by itself has the time for it; see `ProcessSweep`.
    ///
    /// - Parameter root: it has ended and is not reaped, so its group's number is its own.
    func end(root: Int32) async {
        var sweep = ProcessSweep(at: dcf_monotonic_nanoseconds())
        while true {
            let pids = members(since: dcf_monotonic_nanoseconds())
            let step = sweep.next(pids, at: dcf_monotonic_nanoseconds())
            if step == .done || step == .giveUp { return }
            if step == .kill {
                group?.kill()
                kill(-root, SIGKILL)
            }
            ProcessSweep.act(step) { [mark] in $0 == mark }
            await Self.pause()
        }
    }

    /// What is swept is swept to its end: cancelling the task does not end the pause.
    private static func pause() async {
        if Task.isCancelled {
            usleep(useconds_t(ProcessSweep.pauseNanos / 1_000))
        } else {
            try? await Task.sleep(for: .nanoseconds(ProcessSweep.pauseNanos))
        }
    }
}
