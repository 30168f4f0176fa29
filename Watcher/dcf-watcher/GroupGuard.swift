import CLinux
import Glibc
import ProcessTree

/// Stands between the gateway and a program that starts others, as pip does: whoever ends first, the group ends with.
///
/// The kernel's own tie reaches one process only, so this one stays, as the leader of the group: when its parent ends it kills
/// the group, itself included; when the program ends it ends the same way. Signals that ask to end are passed on.
///
/// What has left the group ends by a sweeper's hand, as soon as this process has ended, in whatever way.
enum GroupGuard {
    /// What the kernel sends when the parent has ended.
    private static let parentEnded = SIGUSR1
    private static let passedOn = [SIGHUP, SIGINT, SIGQUIT, SIGTERM]

    /// Starts the command and stays with it to its end.
    static func run(_ command: [String], parent: Int32?) throws(LaunchError) -> Never {
        if getpgrp() != getpid() { setpgid(0, 0) }
        var awaited = sigset_t()
        sigemptyset(&awaited)
        for number in passedOn + [SIGCHLD, parentEnded] {
            // One that is ignored would never arrive.
            signal(number, SIG_DFL)
            sigaddset(&awaited, number)
        }
        sigprocmask(SIG_SETMASK, &awaited, nil)
        let named = parent
        let parent = named ?? getppid()
        _ = dcf_prctl_pdeathsig(parentEnded)
        // Init is nobody's parent here, unless it was named.
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

    /// Ends what the program left running. This process goes over to its parent's group first; where it may not, because it
    /// leads a session, the group is left to whoever waits for it.
    private static func endGroup(parent: Int32) {
        let group = getpid()
        if setpgid(0, getpgid(parent)) == 0 { kill(-group, SIGKILL) }
    }
}
