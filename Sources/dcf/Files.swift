import Glibc
import SystemPackage

// What the commands do with files.

/// Writes whole files. A reader sees the old text or the new one, never a part.
enum AtomicFile {
    /// Replaces the content of a file. If the path is a symbolic link, replaces its target. Keeps the mode of an
    /// existing file.
    static func write(_ text: String, to path: FilePath) throws(CommandFailure) {
        let destination = path.real
        let temporary = FilePath("\(destination.string).\(getpid()).tmp")
        var mode = FilePermissions(rawValue: 0o666)
        var information = stat()
        let exists = stat(destination.string, &information) == 0
        if exists { mode = FilePermissions(rawValue: information.st_mode & 0o7777) }
        do {
            let descriptor = try FileDescriptor.open(
                temporary, .writeOnly, options: [.create, .truncate], permissions: mode)
            try descriptor.closeAfter {
                // The process's umask does not apply here.
                if exists { _ = fchmod(descriptor.rawValue, information.st_mode & 0o7777) }
                _ = try descriptor.writeAll(text.utf8)
            }
            guard rename(temporary.string, destination.string) == 0 else { throw Errno(rawValue: errno) }
        } catch {
            unlink(temporary.string)
            throw CommandFailure("cannot write \(path): \(error)")
        }
    }
}

/// The kind of file at a path, with links followed.
enum FileKind {
    case file
    case folder
    case other

    /// Nil if nothing is there, or access is denied.
    init?(at path: FilePath) {
        var information = stat()
        guard stat(path.string, &information) == 0 else { return nil }
        switch information.st_mode & S_IFMT {
        case S_IFREG: self = .file
        case S_IFDIR: self = .folder
        default: self = .other
        }
    }
}

extension FilePath {
    /// The full path with every link followed. The path itself if nothing is there.
    var real: FilePath {
        guard let pointer = realpath(string, nil) else { return self }
        defer { free(pointer) }
        return FilePath(String(cString: pointer))
    }
}

extension FileDescriptor {
    /// The file has more bytes than the reader allows.
    struct TooLong: Error {}

    /// Reads to the end of the file. Throws `Errno` or `TooLong`.
    func readToEnd(bytesMax: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var capacity = 64 << 10
        while true {
            let piece = try [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
                count = try read(into: UnsafeMutableRawBufferPointer(buffer))
            }
            if piece.isEmpty { return bytes }
            guard bytes.count + piece.count <= bytesMax else { throw TooLong() }
            if bytes.isEmpty { bytes = piece } else { bytes += piece }
            capacity = min(capacity * 2, 4 << 20)
        }
    }
}
