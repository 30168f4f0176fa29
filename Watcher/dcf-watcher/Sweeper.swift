import CLinux
import Glibc
import ProcessTree

/// A process beside all others that waits for the end of one and then ends all that came from it: a process that is killed
/// cannot do that itself.
///
/// It is nobody's child, so that nobody waits for it, and in no session but its own.
enum Sweeper {
    /// Has another process, of this program, do that for this one, whatever this becomes.
    ///
    /// - Parameter isPatient: whether what is left may take its time.
    static func watchThisProcess(_ family: UInt32, isPatient: Bool) {
        let own = dcf_pidfd_open(getpid())
        guard own >= 0 else { return }
        defer { close(own) }
        let command = ["/proc/self/exe", "--sweep", "\(family)"] + (isPatient ? [] : ["--at-once"])
        guard let child = try? ChildProcess.spawn(command, input: own, isSilent: true) else { return }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
    }

    /// Waits until standard input can be read, which is a descriptor of the process, or a socket that it has the other end of;
    /// then sweeps.
    ///
    /// - Parameters:
    ///   - family: of the marks on what is to be ended.
    ///   - groups: the folder in which the control groups of that family are, if there are any.
    static func run(_ family: UInt32, isPatient: Bool, groups: String?) -> Never {
        if dcf_fork() != 0 { _exit(0) }
        setsid()
        chdir("/")
        while true {
            var entry = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
            if poll(&entry, 1, -1) > 0 { break }
        }
        // Where that is allowed: there may be many to be faster than.
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

    /// It can be removed when the last process in it has gone, a moment after that was killed.
    private static func removeSoon(_ group: ControlGroup) {
        for _ in 0..<100 where access(group.path, F_OK) == 0 {
            group.remove()
            usleep(1_000)
        }
    }
}
