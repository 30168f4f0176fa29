internal import FunctionConfig

/// How a replica's process ended.
package enum ReplicaExit: Sendable, Hashable, CustomStringConvertible {
    case status(CInt)
    case signal(CInt)
    /// The exit status of a container, with the last line that it wrote to its standard error.
    case container(CInt, lastLine: String)
    /// The kernel killed a container for lack of memory. `limit` is the container's limit; nil if the machine had no
    /// memory left.
    case outOfMemory(limit: UInt64?)
    /// A container ended while its engine was away, so its status is not known.
    case lost(String)
    /// A task of a Swarm ended; the text says how, as far as it is known.
    case task(String)
    /// The process is gone, and the system did not say how it ended.
    case unknown(String)

    package var description: String {
        switch self {
        case .status(let status): "exit status \(status)"
        case .signal(let number): "signal \(number)\(Self.names[number].map { " (\($0))" } ?? "")"
        case .container(let status, _): "exit status \(status)"
        case .outOfMemory(let limit?): "killed by the memory limit: limits.memory is \(ByteSize.text(limit))"
        case .outOfMemory(nil): "killed because the machine had no memory left"
        case .task(let how), .lost(let how): how
        case .unknown(let reason): "unknown (\(reason))"
        }
    }

    /// The cause of the death, as far as the exit shows it.
    package var cause: DeathCause {
        switch self {
        case .status, .container: .handler
        case .outOfMemory(let limit): limit == nil ? .elsewhere : .handler
        case .signal(let number): Self.fromOutside.contains(number) ? .elsewhere : .handler
        case .task, .lost, .unknown: .elsewhere
        }
    }

    /// The exit status of a watcher that cannot run or cannot reach the gateway.
    static let unavailable = ReplicaExit.status(69)
    /// Signals that do not come from a crash: somebody sent them.
    private static let fromOutside: Set<CInt> = [1, 2, 9, 15]

    /// The description of an exit before the replica was Ready.
    var beforeReady: String {
        switch self {
        case .container(let status, let line):
            "the container ended before the handler was constructed: exit status \(status)"
                + (line.isEmpty ? "" : ": \(line)")
        case .task(let how): "the task ended before the handler was constructed: \(how)"
        case .lost(let how): "the container ended before the handler was constructed: \(how)"
        case .outOfMemory: "the container ended before the handler was constructed: \(self)"
        default: "the process ended before the handler was constructed: \(self)"
        }
    }

    private static let names: [CInt: String] = [
        1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
        9: "SIGKILL",
        11: "SIGSEGV", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 24: "SIGXCPU", 31: "SIGSYS",
    ]
}

/// The cause of a replica's death, as far as it is known. It decides which pause comes before the next start.
package enum DeathCause: Sendable, Hashable {
    /// The handler's own code: its constructor raised, it ended its process, it crashed, it took longer than
    /// `timeout.start`, or it used more than its own `limits.memory`.
    case handler
    /// Anything else: the machine could not start a process or a container (descriptors, memory, disk, the engine), the
    /// watcher could not reach the gateway, or somebody else killed it. A SIGKILL, SIGTERM or SIGINT that the gateway
    /// did not send counts as that. The kernel sends a SIGKILL when the machine has no memory left.
    case elsewhere
}

/// Why a replica did not start, in terms that its author knows.
struct ConstructorFailure: Error, Sendable, Equatable {
    /// One line, with file and line: `ValueError: bad weights (handler.py:12)`.
    var summary: String
    /// The whole Python traceback. Empty without one.
    var traceback: String
    /// The last lines that its process wrote, without the traceback.
    var lastLines: [String] = []
    /// Whether the cause is outside the handler's own code; see `DeathCause`.
    var isElsewhere = false

    var cause: DeathCause { isElsewhere ? .elsewhere : .handler }
}
