import CLinux
import Glibc

/// The first process of a container: starts the replica, or another program, and stays with it, reaps what loses its parent,
/// passes signals on, and ends as that ends.
///
/// The replica is a process of its own because the first one of a container is not like others: signals that nobody handles do
/// not reach it, and every orphan becomes its child. The replica is tied to this one as it is to the gateway elsewhere; the
/// gateway itself is in another world, and only the link's end tells of its own.
enum ContainerInit {
    /// Where a function's files are unless HANDLER_DIR says otherwise.
    private static let handlerFolder = "/dcf/handler"
    /// Signals that tell of a fault in this very process.
    private static let faults = [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS]

    static func run(_ arguments: Arguments) throws(LaunchError) -> Never {
        let isReplica = arguments.mode != .child
        if arguments.mode == .link {
            guard Environment["DCF_LINK"] != nil else { throw .noGateway }
            guard hasToken else { throw .noToken }
        }
        if Environment["DCF_NO_NEW_PRIVS"] == "1" { _ = dcf_prctl_no_new_privileges() }
        takeDevices()
        let python = isReplica ? try interpreter(arguments) : ""
        let relay = arguments.mode == .link ? try ContainerRelay.make(python: python) : nil
        let command = isReplica ? replica(arguments, python) : arguments.command

        var awaited = sigset_t()
        sigfillset(&awaited)
        for number in faults { sigdelset(&awaited, number) }
        sigprocmask(SIG_SETMASK, &awaited, nil)
        // Where it is ignored, children would vanish unseen.
        signal(SIGCHLD, SIG_DFL)

        let child = try ChildProcess.spawn(command)
        relay?.start()
        attend(child, awaited, interrupt: arguments.mode == .link ? SIGTERM : SIGINT, relay)
    }

    private static var hasToken: Bool {
        Environment["DCF_TOKEN"] != nil || Environment["DCF_TOKEN_FILE"] != nil
    }

    /// A cluster's engine says in a variable of its own which of the machine's GPUs are this task's.
    private static func takeDevices() {
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

    /// - Parameter interrupt: what the child gets for an interrupt that is typed at a terminal.
    private static func attend(
        _ child: pid_t, _ awaited: sigset_t, interrupt: Int32, _ relay: ContainerRelay?
    ) -> Never {
        var awaited = awaited
        while true {
            let number = sigwaitinfo(&awaited, nil)
            switch number {
            case SIGCHLD:
                if let status = reap(awaiting: child) {
                    // A replica led a group, if it came to serve calls.
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

    /// Everything that has ended; the child's status when it is among that.
    private static func reap(awaiting child: pid_t) -> Int32? {
        var found: Int32?
        while true {
            var status: Int32 = 0
            let pid = waitpid(-1, &status, WNOHANG)
            if pid == child { found = status }
            if pid <= 0 { return found }
        }
    }

    /// The program's path; nil when there is none that can be started.
    private static func find(_ name: String) -> String? {
        if name.contains("/") { return access(name, X_OK) == 0 ? name : nil }
        for folder in (Environment["PATH"] ?? "").split(separator: ":") {
            let path = "\(folder)/\(name)"
            if access(path, X_OK) == 0 { return path }
        }
        return nil
    }
}
