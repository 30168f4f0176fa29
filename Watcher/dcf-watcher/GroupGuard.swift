import CLinux
import Glibc
import ProcessTree

/// Runs a program that starts others, as pip does, and ends the whole process group when the program or the gateway
/// ends.
///
/// The kernel's parent-death signal reaches one process only. So this process stays, as the leader of the group. When
/// its parent ends, it kills the group, itself included. When the program ends, it kills the rest of the group and ends
/// like the program. It passes on signals that ask a process to end.
///
/// A sweeper ends the processes that have left the group, as soon as this process has ended in any way.
enum GroupGuard {
    /// The signal that the kernel sends when the parent has ended.
    private static let parentEnded = SIGUSR1
    private static let passedOn = [SIGHUP, SIGINT, SIGQUIT, SIGTERM]

    /// Starts the command and waits for its end.
    static func run(_ command: [String], parent: Int32?) throws(LaunchError) -> Never {
        if getpgrp() != getpid() { setpgid(0, 0) }
        var awaited = sigset_t()
        sigemptyset(&awaited)
        for number in passedOn + [SIGCHLD, parentEnded] {
            // An ignored signal would never arrive.
            signal(number, SIG_DFL)
            sigaddset(&awaited, number)
        }
        sigprocmask(SIG_SETMASK, &awaited, nil)
        let named = parent
        let parent = named ?? getppid()
        _ = dcf_prctl_pdeathsig(parentEnded)
        // With init as its parent, the process is an orphan, unless the command line names init.
        guard getppid() == parent, parent != 1 || named == 1 else { throw .orphaned }
        let family = ProcessMark.newFamily()
        Sweeper.watchThisProcess(family, isPatient: false)
        ProcessMark(family: family, number: 0).put(on: 0)
        let child = try ChildProcess.spawn(command)
        while true {
            let number = sigwaitinfo(&awaited, nil)
            switch number {
            case SIGCHLD:
                var status: Int32 = 0
                guard waitpid(child, &status, WNOHANG) == child else { continue }
                endGroup(parent: parent)
                ChildProcess.end(like: status)
            case parentEnded where getppid() != parent:
                kill(0, SIGKILL)
            case _ where passedOn.contains(number):
                kill(child, number)
            default:
                break
            }
        }
    }

    /// Kills the processes of the group that the program left running. This process first moves to its parent's group.
    /// The leader of a session cannot move; then the group is left alone.
    private static func endGroup(parent: Int32) {
        let group = getpid()
        if setpgid(0, getpgid(parent)) == 0 { kill(-group, SIGKILL) }
    }
}
