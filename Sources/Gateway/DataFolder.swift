internal import Environments
internal import Glibc

/// The folder that holds everything a gateway keeps, locked for one gateway as long as this value lives.
final class DataFolder: Sendable {
    /// A unix socket's path has 107 bytes; beyond this the socket goes elsewhere.
    private static let socketPathMax = 100

    let path: String
    private let lock: OwnedDescriptor
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
            lock = try OwnedDescriptor("\(path)/gateway.lock", flags: O_RDWR | O_CREAT, mode: 0o644)
        } catch {
            throw .dataFolder(path: path, reason: "\(error)")
        }
        try Self.take(lock.rawValue, path)
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

    private static func take(_ descriptor: Int32, _ path: String) throws(GatewayError) {
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            var buffer = [UInt8](repeating: 0, count: 32)
            let count = pread(descriptor, &buffer, buffer.count, 0)
            let pid = String(decoding: buffer.prefix(max(count, 0)).prefix { $0 > 0x20 }, as: UTF8.self)
            throw .dataFolderInUse(path: path, pid: pid.isEmpty ? "(unknown)" : pid)
        }
        let text = "\(getpid())\n"
        guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, text, text.utf8.count, 0) == text.utf8.count else {
            throw .dataFolder(path: path, reason: String(cString: strerror(errno)))
        }
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
