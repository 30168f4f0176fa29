internal import Environments
internal import Glibc

/// The folder that holds everything a gateway keeps, locked for one gateway as long as this value lives.
///
/// The lock is on the folder itself: no file of it that somebody removes gives it away. The file beside it says who has it, for
/// people and for releases that lock that file.
final class DataFolder: Sendable {
    /// A unix socket's path has 107 bytes; beyond this the socket goes elsewhere.
    private static let socketPathMax = 100

    let path: String
    /// Of the folder.
    private let lock: OwnedDescriptor
    private let file: OwnedDescriptor
    /// The folder of the watchers' socket: in the data folder, or a private one where that path would be too long.
    let socketFolder: String
    private let isSocketElsewhere: Bool
    /// Tells this gateway's containers from all others.
    let gatewayID: String

    init(_ path: String) throws(GatewayError) {
        self.path = path
        do throws(FileError) {
            try Folder.make(path)
            chmod(path, 0o700)
            lock = try OwnedDescriptor(path, flags: O_RDONLY | O_DIRECTORY, following: true)
            file = try OwnedDescriptor("\(path)/gateway.lock", flags: O_RDWR | O_CREAT, mode: 0o644)
        } catch {
            throw .dataFolder(path: path, reason: "\(error)")
        }
        try Self.take(lock.rawValue, file: file.rawValue, path)
        (socketFolder, isSocketElsewhere) = try Self.makeSocketFolder(path)
        do throws(FileError) {
            let containers = Self.containerFolder(socketFolder)
            try Folder.make(containers)
            // Whoever runs in a container may go in; the folders above are closed to all others of this machine.
            chmod(containers, 0o711)
            gatewayID = try Self.gatewayID(path)
        } catch {
            throw .dataFolder(path: path, reason: "\(error)")
        }
    }

    deinit {
        if isSocketElsewhere {
            rmdir(containerFolder)
            rmdir(socketFolder)
        }
    }

    /// Made at the first start, and kept.
    private static func gatewayID(_ path: String) throws(FileError) -> String {
        let file = "\(path)/gateway.id"
        if access(file, F_OK) == 0 {
            let text = String(decoding: try WholeFile.read(file, limit: 1_024), as: UTF8.self)
            let id = text.filter { $0.isHexDigit }
            if id.count == 32 { return id }
        }
        let id = LinkToken().text
        try WholeFile.replace(file, with: Array("\(id)\n".utf8), mode: 0o600)
        return id
    }

    var socket: String { "\(socketFolder)/link.sock" }
    /// The folder of the socket for containers, which they see, with nothing else in it.
    var containerFolder: String { Self.containerFolder(socketFolder) }
    var containerSocket: String { "\(containerFolder)/link.sock" }

    private static func containerFolder(_ socketFolder: String) -> String { "\(socketFolder)/docker" }

    private static func take(_ folder: Int32, file: Int32, _ path: String) throws(GatewayError) {
        for descriptor in [folder, file] {
            guard flock(descriptor, LOCK_EX | LOCK_NB) != 0 else { continue }
            if errno == EWOULDBLOCK { throw .dataFolderInUse(path: path, pid: holder(of: descriptor, file: file)) }
            // Some network file systems lock no folders; then the file's lock has to do.
            if descriptor == file { throw .dataFolder(path: path, reason: String(cString: strerror(errno))) }
        }
        // Who has it is written for people; on a full disk the kernel still knows.
        let text = "\(getpid())\n"
        _ = ftruncate(file, 0)
        _ = pwrite(file, text, text.utf8.count, 0)
    }

    /// The process that has the lock: as the kernel says, or as it has written itself.
    private static func holder(of descriptor: Int32, file: Int32) -> String {
        if let pid = KernelLocks.holder(of: descriptor) { return "\(pid)" }
        var buffer = [UInt8](repeating: 0, count: 32)
        let count = pread(file, &buffer, buffer.count, 0)
        let pid = String(decoding: buffer.prefix(max(count, 0)).prefix { $0 > 0x20 }, as: UTF8.self)
        return pid.isEmpty ? "(unknown)" : pid
    }

    private static func makeSocketFolder(_ path: String) throws(GatewayError) -> (String, Bool) {
        let usual = "\(path)/run"
        if "\(usual)/link.sock".utf8.count <= socketPathMax {
            do throws(FileError) { try Folder.make(usual) } catch { throw .dataFolder(path: path, reason: "\(error)") }
            return (usual, false)
        }
        var template = Array("/tmp/dcf-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw .dataFolder(
                path: path, reason: "no folder for the socket in /tmp: \(String(cString: strerror(errno)))")
        }
        return (String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self), true)
    }
}
