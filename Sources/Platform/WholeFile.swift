import Glibc
import SystemPackage

/// Reads and writes small files as a whole.
package enum WholeFile {
    /// All bytes of a file. A file larger than `limit` bytes is an error (`File too large`).
    package static func read(_ path: String, limit: Int) throws(FileError) -> [UInt8] {
        let file = try OwnedDescriptor(path, flags: O_RDONLY | O_NONBLOCK, following: true)
        let status = try file.status(path: path)
        guard status.isFile else { throw FileError("read", path, status.isFolder ? .isDirectory : .invalidArgument) }
        guard status.st_size <= limit else { throw FileError("read", path, .fileTooLarge) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = try file.read(into: &piece, path: path)
            if count == 0 { return bytes }
            bytes += piece[..<count]
            guard bytes.count <= limit else { throw FileError("read", path, .fileTooLarge) }
        }
    }

    /// Replaces the content of a file. A reader sees the old or the new content, never a part of it. The content is on
    /// the disk when this returns.
    package static func replace(_ path: String, with bytes: [UInt8], mode: UInt32 = 0o644) throws(FileError) {
        let temporary = path + ".\(getpid()).\(UInt32.random(in: 0...UInt32.max)).tmp"
        do throws(FileError) {
            let file = try OwnedDescriptor(temporary, flags: O_WRONLY | O_CREAT | O_EXCL, mode: mode)
            try file.write(bytes, path: temporary)
            try file.sync(path: temporary)
            try Folder.rename(temporary, to: path)
        } catch {
            unlink(temporary)
            throw error
        }
        let folder = FilePath(path).removingLastComponent().string
        try Folder.sync(folder.isEmpty ? "." : folder)
    }
}
