internal import CLinux
internal import Glibc
internal import ProcessTree

/// A replica's process and all processes that come from it, even if they move to another group, session or parent.
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

    /// The arguments with which the launcher makes its process the root of the tree.
    var arguments: [String] {
        ["--mark", "\(mark.rawValue)"] + (group.map { ["--group", $0.path] } ?? [])
    }

    /// Makes a forked process that does nothing yet the root of the tree.
    func adopt(_ pid: Int32) {
        group?.add(pid)
        mark.put(on: pid)
    }

    /// The processes of the tree that have not ended.
    ///
    /// - Parameter moment: a time of the monotonic clock. The answer is not older.
    func members(since moment: Int64) -> [Int32] {
        let marked = containment.members(of: mark, since: moment)
        guard let group else { return marked }
        return Array(Set(marked).union(group.members))
    }

    /// Ends the processes that the root has left. Processes that end by themselves get time for it; see `ProcessSweep`.
    ///
    /// - Parameter root: has ended and is not reaped, so its group's ID is still its own.
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

    /// A pause that cancelling the task does not end, so that the sweep is completed.
    private static func pause() async {
        if Task.isCancelled {
            usleep(useconds_t(ProcessSweep.pauseNanos / 1_000))
        } else {
            try? await Task.sleep(for: .nanoseconds(ProcessSweep.pauseNanos))
        }
    }
}
