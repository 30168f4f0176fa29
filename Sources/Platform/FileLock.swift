import Glibc
import SystemPackage

/// An exclusive lock on a file between processes. It is released when this value ends, and by the kernel when the
/// process ends.
package struct FileLock: ~Copyable, Sendable {
    private let file: OwnedDescriptor

    /// Takes the lock; nil where another process, or another part of this one, has it.
    package static func tryTake(_ path: String) throws(FileError) -> FileLock? {
        let file = try OwnedDescriptor(path, flags: O_RDWR | O_CREAT, mode: 0o644)
        guard retrying({ flock(file.rawValue, LOCK_EX | LOCK_NB) }) == 0 else {
            if errno == EWOULDBLOCK { return nil }
            throw FileError("lock", path, Errno(rawValue: errno))
        }
        return FileLock(file: file)
    }

    private init(file: consuming OwnedDescriptor) {
        self.file = file
    }
}
