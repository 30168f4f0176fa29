internal import CLinux
internal import Environments
internal import Glibc
internal import SystemPackage

/// A replica's process as its template made it. Its number stays its own until it is reaped, while the template lives.
final class TemplateChild: Sendable {
    let pid: Int32
    /// The process itself, whatever becomes of its number.
    private let process: OwnedDescriptor
    /// Settled when it has ended.
    let end = Promise<Void>()

    /// - Throws: when the process cannot be watched.
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

    /// How it ended, where its template did not live to tell: known only if it became a child of this process.
    func reapOrphan() -> ReplicaExit {
        var status: Int32 = 0
        guard dcf_reap_pidfd(process.rawValue, &status) == pid else {
            return .unknown("the template that it was forked from had ended before it")
        }
        return status >= 0 ? .status(status) : .signal(-status)
    }
}
