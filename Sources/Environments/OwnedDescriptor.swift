import CLinux
package import Glibc
import SystemPackage

/// A file descriptor with exactly one owner, closed when that owner ends. Always opened close-on-exec.
///
/// Calls are retried when a signal interrupts them; everything else is a `FileError` with the path given.
package struct OwnedDescriptor: ~Copyable, Sendable {
    package let rawValue: CInt

    /// Takes over a descriptor that nobody else will close.
    package init(owning rawValue: CInt) {
        self.rawValue = rawValue
    }

    deinit { _ = close(rawValue) }

    /// Opens `path`, relative to the folder `parent` where one is given, without following a link in its last component.
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

    /// Writes all of it.
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

    /// Reads what there is into `buffer` from `start` on, at most `most` bytes; 0 is the end.
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

    /// What the file is: kind, size, times.
    package func status(path: String) throws(FileError) -> stat {
        var result = stat()
        guard fstat(rawValue, &result) == 0 else { throw FileError("look at", path, Errno(rawValue: errno)) }
        return result
    }

    /// Puts the file's, or the folder's, content on the disk.
    package func sync(path: String) throws(FileError) {
        guard retrying({ fsync(rawValue) }) == 0 else { throw FileError("sync", path, Errno(rawValue: errno)) }
    }

    /// Puts on the disk whatever the file system of this file still holds in memory.
    package func syncFileSystem(path: String) throws(FileError) {
        guard retrying({ dcf_syncfs(rawValue) }) == 0 else { throw FileError("sync", path, Errno(rawValue: errno)) }
    }
}

/// Calls again as long as a signal interrupts.
package func retrying<Result: SignedInteger>(_ call: () -> Result) -> Result {
    while true {
        let result = call()
        if result < 0, errno == EINTR { continue }
        return result
    }
}
