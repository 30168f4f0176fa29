import Glibc
import SystemPackage

/// Writes whole files: a reader sees the old text or the new one, never a part.
enum AtomicFile {
    /// A symbolic link stays one: the file that it leads to is replaced. The mode of a file that is there is kept.
    static func write(_ text: String, to path: FilePath) throws(CommandFailure) {
        let destination = path.real
        let temporary = FilePath("\(destination.string).\(getpid()).tmp")
        var mode = FilePermissions(rawValue: 0o666)
        var information = stat()
        let isThere = stat(destination.string, &information) == 0
        if isThere { mode = FilePermissions(rawValue: information.st_mode & 0o7777) }
        do {
            let descriptor = try FileDescriptor.open(
                temporary, .writeOnly, options: [.create, .truncate], permissions: mode)
            try descriptor.closeAfter {
                // Past the mask of the process.
                if isThere { _ = fchmod(descriptor.rawValue, information.st_mode & 0o7777) }
                _ = try descriptor.writeAll(text.utf8)
            }
            guard rename(temporary.string, destination.string) == 0 else { throw Errno(rawValue: errno) }
        } catch {
            unlink(temporary.string)
            throw CommandFailure("cannot write \(path): \(error)")
        }
    }
}
