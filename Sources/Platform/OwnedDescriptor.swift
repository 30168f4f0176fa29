import CLinux
package import Glibc
import SystemPackage

/// A file descriptor with exactly one owner. It is closed when the owner ends, and always opened close-on-exec.
///
/// A call that a signal interrupts is made again. Every other failure is a `FileError` with the given path.
package struct OwnedDescriptor: ~Copyable, Sendable {
    package let rawValue: CInt

    /// Owns a descriptor from now on: nothing else may close it.
    package init(owning rawValue: CInt) {
        self.rawValue = rawValue
    }

    deinit { _ = close(rawValue) }

    /// Opens `path`, relative to the folder `parent` where one is given. A link as its last component is followed only
    /// with `following`.
    ///
    /// - Parameter name: stands for the path in an error.
    package init(
        _ path: String, flags: CInt, mode: UInt32 = 0o600, in parent: CInt = AT_FDCWD, following: Bool = false,
        named name: String? = nil
    ) throws(FileError) {
        let flags = flags | O_CLOEXEC | (following ? 0 : O_NOFOLLOW)
        let result = retrying { openat(parent, path, flags, mode) }
        guard result >= 0 else { throw FileError("open", name ?? path, Errno(rawValue: errno)) }
        rawValue = result
    }

    /// Gives the descriptor away: the caller closes it.
    package consuming func release() -> CInt {
        let value = rawValue
        discard self
        return value
    }

    /// Writes all bytes.
    package func write(_ bytes: borrowing RawSpan, path: String) throws(FileError) {
        var offset = 0
        while offset < bytes.byteCount {
            let written = bytes.withUnsafeBytes { buffer in
                retrying { Glibc.write(rawValue, buffer.baseAddress.map { $0 + offset }, buffer.count - offset) }
            }
            guard written > 0 else { throw FileError("write", path, Errno(rawValue: written < 0 ? errno : EIO)) }
            offset += written
        }
    }

    package func write(_ bytes: [UInt8], path: String) throws(FileError) {
        try write(bytes.span.bytes, path: path)
    }

    /// Reads the available bytes into `buffer` from `start` on, at most `most`. Returns how many; 0 at the end.
    package func read(
        into buffer: inout [UInt8], from start: Int = 0, upTo most: Int = .max, path: String
    ) throws(FileError) -> Int {
        let wanted = min(most, buffer.count - start)
        let count = buffer.withUnsafeMutableBytes { raw in
            retrying { Glibc.read(rawValue, raw.baseAddress.map { $0 + start }, wanted) }
        }
        guard count >= 0 else { throw FileError("read", path, Errno(rawValue: errno)) }
        return count
    }

    /// The file's status: kind, size, times.
    package func status(path: String) throws(FileError) -> stat {
        var result = stat()
        guard fstat(rawValue, &result) == 0 else { throw FileError("look at", path, Errno(rawValue: errno)) }
        return result
    }

    /// Writes the content of the file or the folder to the disk.
    package func sync(path: String) throws(FileError) {
        guard retrying({ fsync(rawValue) }) == 0 else { throw FileError("sync", path, Errno(rawValue: errno)) }
    }

    /// Writes everything that the file system of this file still holds in memory to the disk.
    package func syncFileSystem(path: String) throws(FileError) {
        guard retrying({ dcf_syncfs(rawValue) }) == 0 else { throw FileError("sync", path, Errno(rawValue: errno)) }
    }
}

/// Repeats a system call as long as a signal interrupts it.
package func retrying<Result: SignedInteger>(_ call: () -> Result) -> Result {
    while true {
        let result = call()
        if result < 0, errno == EINTR { continue }
        return result
    }
}
