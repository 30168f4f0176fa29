internal import CLinux
internal import Glibc
internal import Platform
internal import SystemPackage

/// A replica's process that a template has forked. While the template lives, no other process can have its ID until it
/// is reaped.
final class TemplateChild: Sendable {
    let pid: Int32
    /// Refers to the process itself, even after another process has its ID.
    private let process: OwnedDescriptor
    /// Settled when the process has ended.
    let end = Promise<Void>()

    /// - Throws: if the process cannot be watched.
    init(pid: Int32, watch: DescriptorWatch) throws(FileError) {
        let process = dcf_pidfd_open(pid)
        guard process >= 0 else { throw FileError("watch", "process \(pid)", Errno(rawValue: errno)) }
        self.pid = pid
        self.process = OwnedDescriptor(owning: process)
        let number = Promise<UInt64>()
        number.settle(
            try watch.add(process) { [self] in
                if let number = number.current { watch.remove(number, process) }
                end.settle(())
            })
    }

    func signal(_ signal: CInt) {
        _ = dcf_pidfd_send_signal(process.rawValue, signal)
    }

    /// How the process ended, if its template ended before it could report that. Known only if the process has become a
    /// child of the gateway.
    func reapOrphan() -> ReplicaExit {
        var status: Int32 = 0
        guard dcf_reap_pidfd(process.rawValue, &status) == pid else {
            return .unknown("the template that it was forked from had ended before it")
        }
        return status >= 0 ? .status(status) : .signal(-status)
    }
}

/// The barrier at which a forked process waits until the gateway knows it. The process goes on when the barrier is
/// opened, and ends when the barrier is closed. The end of this value closes it.
struct ForkBarrier: ~Copyable {
    private let reading: OwnedDescriptor
    private let writing: OwnedDescriptor

    init() throws(ReplicaProcessError) {
        var ends: [CInt] = [-1, -1]
        guard dcf_pipe2(&ends, O_CLOEXEC) == 0 else {
            throw ReplicaProcessError(
                program: "a replica from its template", reason: Errno(rawValue: errno).description)
        }
        reading = OwnedDescriptor(owning: ends[0])
        writing = OwnedDescriptor(owning: ends[1])
    }

    /// The end that the process gets.
    var inner: CInt { reading.rawValue }

    func open() {
        var one: UInt8 = 1
        // Fails only if the process has ended.
        _ = write(writing.rawValue, &one, 1)
    }
}
