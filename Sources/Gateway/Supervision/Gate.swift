internal import CLinux
internal import Environments
internal import Glibc
internal import SystemPackage

/// Where a process waits that was forked and is not known yet: it goes on when the gate is opened, and ends when the gate
/// is closed, as it is when this value ends.
struct Gate: ~Copyable {
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

    /// What the process gets of it.
    var inner: CInt { reading.rawValue }

    func open() {
        var one: UInt8 = 1
        // Fails only if the process has ended.
        _ = write(writing.rawValue, &one, 1)
    }
}
