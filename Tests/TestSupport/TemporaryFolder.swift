import Glibc
import Platform
import SystemPackage

/// A folder for one test. It is removed with its content when the last reference to it ends.
package final class TemporaryFolder: Sendable {
    package let path: String

    /// - Parameter inMemory: whether it lies in memory, where the system has a place for that: what is put on the disk
    ///   there costs no time. Programs may not run from it.
    package init(inMemory: Bool = false) throws {
        let parent = inMemory && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
        var template = Array("\(parent)/dcf-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw FileError("make", parent, Errno(rawValue: errno)) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? Folder.remove(path) }

    /// Writes a file, with the folders above it, and returns its full path.
    @discardableResult
    package func write(_ name: String, _ content: String, mode: UInt32 = 0o644) throws -> String {
        let full = path + "/" + name
        try Folder.make(FilePath(full).removingLastComponent().string)
        try OwnedDescriptor(full, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: mode).write(
            Array(content.utf8), path: full)
        chmod(full, mode)
        return full
    }

    package func link(_ name: String, to target: String) throws {
        let full = path + "/" + name
        try Folder.make(FilePath(full).removingLastComponent().string)
        guard symlink(target, full) == 0 else { throw FileError("link", full, Errno(rawValue: errno)) }
    }

    package func read(_ name: String) throws -> String {
        String(decoding: try WholeFile.read(path + "/" + name, limit: 64 << 20), as: UTF8.self)
    }

    /// Every path below the folder, in order. Folders end with a slash.
    package func tree(_ name: String = "") throws -> [String] {
        var found: [String] = []
        for inner in try Folder.names(at: name.isEmpty ? path : path + "/" + name) {
            let place = name.isEmpty ? inner : name + "/" + inner
            var status = stat()
            lstat(path + "/" + place, &status)
            found.append(status.isFolder ? place + "/" : place)
            if status.isFolder { found += try tree(place) }
        }
        return found
    }
}
