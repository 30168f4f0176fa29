import Environments
import Glibc
import SystemPackage

/// A folder for one test, removed with all it holds when the test's last reference to it ends.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/dcf-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw FileError("make", "/tmp", Errno(rawValue: errno)) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? Folder.remove(path) }

    /// Writes a file, with the folders above it, and answers its full path.
    @discardableResult
    func write(_ name: String, _ content: String, mode: UInt32 = 0o644) throws -> String {
        let full = path + "/" + name
        try Folder.make(FilePath(full).removingLastComponent().string)
        try OwnedDescriptor(full, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: mode).write(
            Array(content.utf8), path: full)
        chmod(full, mode)
        return full
    }

    func link(_ name: String, to target: String) throws {
        let full = path + "/" + name
        try Folder.make(FilePath(full).removingLastComponent().string)
        guard symlink(target, full) == 0 else { throw FileError("link", full, Errno(rawValue: errno)) }
    }

    func read(_ name: String) throws -> String {
        String(decoding: try WholeFile.read(path + "/" + name, limit: 64 << 20), as: UTF8.self)
    }

    /// Every path below, in order, folders with a slash at the end.
    func tree(_ name: String = "") throws -> [String] {
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
