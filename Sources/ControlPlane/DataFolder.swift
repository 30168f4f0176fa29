internal import Glibc
internal import Link
internal import Platform

/// The folder that holds everything that a gateway keeps. It is locked for one gateway as long as this value lives.
///
/// The lock is on the folder itself, so removing a file from the folder does not release the lock. The lock file in the
/// folder names the process that holds the lock. It is for people, and for releases that lock that file instead.
package final class DataFolder: Sendable {
    /// The path of a unix socket has at most 107 bytes. If the path would be longer than this limit, the socket lies
    /// outside the data folder.
    private static let socketPathMax = 100

    package let path: String
    /// The lock on the folder.
    private let lock: OwnedDescriptor
    /// The lock on the lock file.
    private let file: OwnedDescriptor
    /// The folder of the watchers' socket: in the data folder, or a private folder if that path would be too long.
    let socketFolder: String
    private let isSocketElsewhere: Bool
    /// The ID by which this gateway knows its containers from all others.
    let gatewayID: String

    package init(_ path: String) throws(GatewayError) {
        self.path = path
        do throws(FileError) {
            try Folder.make(path)
            chmod(path, 0o700)
            lock = try OwnedDescriptor(path, flags: O_RDONLY | O_DIRECTORY, following: true)
            file = try OwnedDescriptor("\(path)/gateway.lock", flags: O_RDWR | O_CREAT, mode: 0o644)
        } catch {
            throw .dataFolder(path: path, reason: "\(error)")
        }
        try Self.lock(lock.rawValue, file: file.rawValue, path)
        (socketFolder, isSocketElsewhere) = try Self.makeSocketFolder(path)
        do throws(FileError) {
            let containers = Self.containerFolder(socketFolder)
            try Folder.make(containers)
            // Processes in a container may enter this folder. The folders above it are closed to all other users of
            // this machine.
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

    /// Reads the ID of the gateway. The first start makes it.
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

    package var socket: String { "\(socketFolder)/link.sock" }
    /// The folder of the socket for containers. Containers see this folder; it holds nothing else.
    var containerFolder: String { Self.containerFolder(socketFolder) }
    package var containerSocket: String { "\(containerFolder)/link.sock" }

    private static func containerFolder(_ socketFolder: String) -> String { "\(socketFolder)/docker" }

    private static func lock(_ folder: Int32, file: Int32, _ path: String) throws(GatewayError) {
        for descriptor in [folder, file] {
            guard flock(descriptor, LOCK_EX | LOCK_NB) != 0 else { continue }
            if errno == EWOULDBLOCK { throw .dataFolderInUse(path: path, pid: holder(of: descriptor, file: file)) }
            // Some network file systems cannot lock folders. There the lock on the file must be enough.
            if descriptor == file { throw .dataFolder(path: path, reason: String(cString: strerror(errno))) }
        }
        // The lock file names the holder for people. If the disk is full, the kernel still knows the holder.
        let text = "\(getpid())\n"
        _ = ftruncate(file, 0)
        _ = pwrite(file, text, text.utf8.count, 0)
    }

    /// The process that holds the lock: the one that the kernel names, or else the one that the lock file names.
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
