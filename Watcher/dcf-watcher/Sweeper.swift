import CLinux
import Glibc
import ProcessTree

/// A process that waits for the end of another and then ends all descendants of that one. A process that is killed
/// cannot do that itself.
///
/// It forks away from the process that started it, so that no process waits for it, and has a session of its own.
enum Sweeper {
    /// Starts a sweeper for this process. It stays across `exec`.
    ///
    /// - Parameters:
    ///   - family: the family of the marks on the processes to end.
    ///   - isPatient: whether the processes get time to end by themselves.
    static func watchThisProcess(_ family: UInt32, isPatient: Bool) {
        let own = dcf_pidfd_open(getpid())
        guard own >= 0 else { return }
        defer { close(own) }
        let command = ["/proc/self/exe", "--sweep", "\(family)"] + (isPatient ? [] : ["--at-once"])
        guard let child = try? ChildProcess.spawn(command, input: own, isSilent: true) else { return }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
    }

    /// Runs the sweeper: waits until standard input is readable, then sweeps. Standard input is a pidfd of the process
    /// to wait for, or a socket with its other end in that process.
    ///
    /// - Parameters:
    ///   - family: the family of the marks on the processes to end.
    ///   - isPatient: whether the processes get time to end by themselves.
    ///   - groups: the folder of the family's control groups, if it has any.
    static func run(_ family: UInt32, isPatient: Bool, groups: String?) -> Never {
        if dcf_fork() != 0 { _exit(0) }
        setsid()
        chdir("/")
        while true {
            var entry = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
            if poll(&entry, 1, -1) > 0 { break }
        }
        // A high priority, where that is allowed: many processes may be forking.
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, -20)
        let belongs = { (mark: ProcessMark) in mark.family == family }
        let all = { groups.map { ControlGroup.all(in: $0, family: family) } ?? [] }
        ProcessSweep.run(isPatient: isPatient, where: belongs) { for group in all() { group.kill() } }
        for group in all() {
            group.kill()
            removeSoon(group)
        }
        _exit(0)
    }

    /// Removes a group. That fails until the last process in it is gone, a moment after it was killed.
    private static func removeSoon(_ group: ControlGroup) {
        for _ in 0..<100 where access(group.path, F_OK) == 0 {
            group.remove()
            usleep(1_000)
        }
    }
}
