import CLinux
import Glibc
import WatcherLink

/// The first process of a container. It starts the replica, or another program, as its child, reaps orphans, passes
/// signals on, and ends like the child.
///
/// The replica is not the first process itself because that one is special: a signal without a handler does not reach
/// it, and every orphan is its child. The replica ends when this process ends, as it does with the gateway elsewhere.
/// The gateway is outside the container: the replica notices its end only by the end of the link.
enum ContainerInit {
    /// The folder of the function's files if HANDLER_DIR is not set.
    private static let handlerFolder = "/dcf/handler"
    /// Signals of a fault in this process itself: they are not waited for.
    private static let faults = [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS]

    static func run(_ arguments: Arguments) throws(LaunchError) -> Never {
        let isReplica = arguments.mode != .child
        if arguments.mode == .replica {
            guard Environment[WatcherVariables.link] != nil else { throw .noGateway }
            guard hasToken else { throw .noToken }
        }
        if Environment[WatcherVariables.noNewPrivileges] == "1" { _ = dcf_prctl_no_new_privileges() }
        setDevices()
        let python = isReplica ? try interpreter(arguments) : ""
        let relay = arguments.mode == .replica ? try ContainerRelay.make(python: python) : nil
        let command = isReplica ? replica(arguments, python) : arguments.command

        var awaited = sigset_t()
        sigfillset(&awaited)
        for number in faults { sigdelset(&awaited, number) }
        sigprocmask(SIG_SETMASK, &awaited, nil)
        // While it is ignored, the kernel reaps children, and this process never learns their status.
        signal(SIGCHLD, SIG_DFL)

        let child = try ChildProcess.spawn(command)
        relay?.start()
        attend(child, awaited, interrupt: arguments.mode == .replica ? SIGTERM : SIGINT, relay)
    }

    private static var hasToken: Bool {
        Environment[WatcherVariables.token] != nil || Environment[WatcherVariables.tokenFile] != nil
    }

    /// Passes on the GPUs of this task, which a cluster's engine names in a variable of its own.
    private static func setDevices() {
        if let devices = Environment["DOCKER_RESOURCE_GPU"] { setenv("CUDA_VISIBLE_DEVICES", devices, 0) }
    }

    private static func interpreter(_ arguments: Arguments) throws(LaunchError) -> String {
        let python = arguments.python ?? "python3"
        guard let path = find(python) else { throw .noPython(python, Environment["PATH"] ?? "not set") }
        return path
    }

    private static func replica(_ arguments: Arguments, _ path: String) -> [String] {
        if Environment["HANDLER_DIR"] == nil { setenv("HANDLER_DIR", handlerFolder, 1) }
        let command = ["/proc/self/exe", "--contained", "--parent", "\(getpid())", "--python", path]
        return command + (arguments.mode == .once ? ["--once"] : [])
    }

    /// Waits for signals until the child ends, then ends this process.
    ///
    /// - Parameter interrupt: the signal that the child gets when an interrupt is typed at a terminal.
    private static func attend(
        _ child: pid_t, _ awaited: sigset_t, interrupt: Int32, _ relay: ContainerRelay?
    ) -> Never {
        var awaited = awaited
        while true {
            let number = sigwaitinfo(&awaited, nil)
            switch number {
            case SIGCHLD:
                if let status = reap(awaiting: child) {
                    // Ends the replica's process group, if it made one.
                    kill(-child, SIGKILL)
                    relay?.finish()
                    ChildProcess.end(like: status)
                }
            case SIGINT:
                kill(child, interrupt)
            case _ where number > 0 && number != SIGTTIN && number != SIGTTOU && number != SIGTSTP:
                kill(child, number)
            default:
                break
            }
        }
    }

    /// Reaps all processes that have ended; returns the child's status if the child is one of them.
    private static func reap(awaiting child: pid_t) -> Int32? {
        var found: Int32?
        while true {
            var status: Int32 = 0
            let pid = waitpid(-1, &status, WNOHANG)
            if pid == child { found = status }
            if pid <= 0 { return found }
        }
    }

    /// The path of a program; nil when no program of that name can be executed.
    private static func find(_ name: String) -> String? {
        if name.contains("/") { return access(name, X_OK) == 0 ? name : nil }
        for folder in (Environment["PATH"] ?? "").split(separator: ":") {
            let path = "\(folder)/\(name)"
            if access(path, X_OK) == 0 { return path }
        }
        return nil
    }
}
