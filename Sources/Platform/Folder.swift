package import Glibc
import SystemPackage

/// Operations on folders by path: make, list, remove, sync. Paths are relative to the working folder unless they are
/// absolute.
package enum Folder {
    /// Makes the folder and the folders above it where they are missing.
    package static func make(_ path: String, mode: UInt32 = 0o755) throws(FileError) {
        if mkdir(path, mode) == 0 { return }
        let reason = errno
        switch reason {
        case EEXIST:
            var status = stat()
            if stat(path, &status) == 0, status.isFolder { return }
            throw FileError("make the folder", path, .fileExists)
        case ENOENT:
            let above = FilePath(path).removingLastComponent().string
            guard !above.isEmpty, above != path else {
                throw FileError("make the folder", path, Errno(rawValue: reason))
            }
            try make(above, mode: mode)
            if mkdir(path, mode) != 0, errno != EEXIST {
                throw FileError("make the folder", path, Errno(rawValue: errno))
            }
        default:
            throw FileError("make the folder", path, Errno(rawValue: reason))
        }
    }

    /// The names in a folder as bytes, in byte order, without `.` and `..`.
    package static func names(of descriptor: borrowing OwnedDescriptor, path: String) throws(FileError) -> [[UInt8]] {
        let copy = openat(descriptor.rawValue, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard copy >= 0 else { throw FileError("list", path, Errno(rawValue: errno)) }
        guard let stream = fdopendir(copy) else {
            let reason = Errno(rawValue: errno)
            close(copy)
            throw FileError("list", path, reason)
        }
        defer { closedir(stream) }
        var names: [[UInt8]] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw FileError("list", path, Errno(rawValue: errno)) }
                break
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            if name != [0x2E], name != [0x2E, 0x2E] { names.append(name) }
        }
        return names.sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// The names in a folder, in byte order; empty where there is no such folder.
    package static func names(at path: String) throws(FileError) -> [String] {
        let folder: OwnedDescriptor
        do throws(FileError) {
            folder = try OwnedDescriptor(path, flags: O_RDONLY | O_DIRECTORY, following: true)
        } catch {
            if error.code == .noSuchFileOrDirectory { return [] }
            throw error
        }
        return try names(of: folder, path: path).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Removes a file, a link, or a folder with its content. It follows no link, and does nothing where nothing is
    /// there.
    package static func remove(_ path: String, in parent: CInt = AT_FDCWD) throws(FileError) {
        try remove(Array(path.utf8), in: parent, path: path)
    }

    private static func remove(_ name: [UInt8], in parent: CInt, path: String) throws(FileError) {
        let cName = (name + [0]).map { CChar(bitPattern: $0) }
        func unlink(_ flags: CInt) -> CInt {
            unlinkat(parent, cName, flags) == 0 ? 0 : errno
        }
        let reason = unlink(0)
        if reason == 0 || reason == ENOENT { return }
        guard reason == EISDIR || reason == EPERM else { throw FileError("remove", path, Errno(rawValue: reason)) }
        let raw = openat(parent, cName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard raw >= 0 else { throw FileError("remove", path, Errno(rawValue: errno)) }
        let folder = OwnedDescriptor(owning: raw)
        fchmod(folder.rawValue, 0o700)
        for inner in try names(of: folder, path: path) {
            try remove(inner, in: folder.rawValue, path: path + "/" + String(decoding: inner, as: UTF8.self))
        }
        let last = unlink(AT_REMOVEDIR)
        if last != 0, last != ENOENT { throw FileError("remove", path, Errno(rawValue: last)) }
    }

    /// Writes a folder's list of names to the disk, so that a file that was renamed into it survives a power cut.
    package static func sync(_ path: String) throws(FileError) {
        try OwnedDescriptor(path, flags: O_RDONLY | O_DIRECTORY, following: true).sync(path: path)
    }

    /// Renames `from` to `to`, and replaces `to` where it is a file or an empty folder.
    package static func rename(_ from: String, to: String) throws(FileError) {
        guard Glibc.rename(from, to) == 0 else { throw FileError("rename to", to, Errno(rawValue: errno)) }
    }

    /// Whether anything exists at the path, even a broken link.
    package static func holds(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    /// When the file at the path was last modified, in milliseconds since 1970; nil where nothing is there.
    package static func modified(_ path: String) -> Int64? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        return Int64(status.st_mtim.tv_sec) * 1_000 + Int64(status.st_mtim.tv_nsec) / 1_000_000
    }

    /// Whether a text is the name of one entry of a folder, and not of one above or below it.
    package static func isPlainName(_ text: String) -> Bool {
        !text.isEmpty && text != "." && text != ".." && !text.utf8.contains { $0 == 0x2F || $0 == 0 }
    }

    /// The path with every link followed; nil where it leads nowhere.
    package static func resolved(_ path: String) -> String? {
        guard let buffer = realpath(path, nil) else { return nil }
        defer { free(buffer) }
        return String(cString: buffer)
    }
}

extension stat {
    package var isFolder: Bool { st_mode & S_IFMT == S_IFDIR }
    package var isFile: Bool { st_mode & S_IFMT == S_IFREG }
    package var isLink: Bool { st_mode & S_IFMT == S_IFLNK }
}
