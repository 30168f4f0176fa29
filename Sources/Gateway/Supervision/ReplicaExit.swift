internal import FunctionConfig

/// How a replica's process ended.
package enum ReplicaExit: Sendable, Hashable, CustomStringConvertible {
    case status(CInt)
    case signal(CInt)
    /// A container's, with what it wrote last to its standard error.
    case container(CInt, lastLine: String)
    /// A container's that the kernel killed for want of memory.
    case outOfMemory(limit: UInt64?)
    /// A container's whose engine is away and does not say.
    case lost(String)
    /// A task's of a Swarm, as far as it is known.
    case task(String)
    /// The system did not say; the process is gone all the same.
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

    /// What that says of the cause.
    package var cause: DeathCause {
        switch self {
        case .status, .container: .handler
        case .outOfMemory(let limit): limit == nil ? .elsewhere : .handler
        case .signal(let number): Self.fromOutside.contains(number) ? .elsewhere : .handler
        case .task, .lost, .unknown: .elsewhere
        }
    }

    /// A watcher ends with this where it cannot run, or reach the gateway.
    static let unavailable = ReplicaExit.status(69)
    /// Signals that no crash is told with: somebody sent them.
    private static let fromOutside: Set<CInt> = [1, 2, 9, 15]

    /// The same where it had never become Ready.
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
