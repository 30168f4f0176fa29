/// What a replica died of, as far as that is known: whether its function may wait longer for the next start.
package enum DeathCause: Sendable, Hashable {
    /// The handler's own code: it raised in its constructor, ended its process, crashed, took longer than `timeout.start`, or
    /// used more than its own `limits.memory`.
    case handler
    /// Anything else: the machine could not start a process or a container (descriptors, memory, disk, the engine), the watcher
    /// could not reach the gateway, or somebody else ended it, which is what a SIGKILL, SIGTERM or SIGINT that is not the
    /// gateway's stands for, the kernel's own when the machine has no memory left among them.
    case elsewhere
}
