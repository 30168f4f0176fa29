import Environments
import Glibc
import Platform
import Synchronization
import TestSupport

/// A data folder as a crash leaves it.
struct DataImage: Sendable {
    /// The step that it was taken at; several where nothing but logs has changed between them.
    var name: String
    let folder: TemporaryFolder
    let tools: TemporaryFolder

    /// Tells whether two images are of the same files, logs aside.
    let content: String

    /// Copies the data folder of a control plane that may be in the middle of a change.
    init(_ name: String, of test: ControlPlaneTest) throws {
        self.name = name
        tools = test.tools
        folder = try TemporaryFolder(inMemory: true)
        var digest = Digest()
        try Self.copy(test.folder.path, to: folder.path, &digest)
        content = digest.hexadecimal()
    }

    /// Copies files and folders. Sockets end with their process; the reserve is made again.
    private static func copy(_ from: String, to: String, _ digest: inout Digest) throws {
        for name in try Folder.names(at: from) where name != "reserve" {
            let (source, target) = ("\(from)/\(name)", "\(to)/\(name)")
            var status = stat()
            guard lstat(source, &status) == 0 else { continue }
            if status.isFolder {
                try Folder.make(target, mode: 0o700)
                digest.addCounted(Array(name.utf8))
                var inner = Digest()
                try copy(source, to: target, &inner)
                if name != "logs" { digest.add(inner.hexadecimal()) }
            } else if status.isLink {
                guard let end = Folder.resolved(source) else { continue }
                symlink(String(end.split(separator: "/").last ?? ""), target)
            } else if status.isFile {
                let file = try OwnedDescriptor(target, flags: O_WRONLY | O_CREAT, mode: status.st_mode & 0o777)
                let bytes = try WholeFile.read(source, limit: 64 << 20)
                try file.write(bytes, path: target)
                // Which pages the readers of the registry know is made anew by the next process.
                if name.hasSuffix("-shm") { continue }
                digest.addCounted(Array(name.utf8))
                digest.addCounted(bytes)
            }
        }
    }
}

/// Tells each step of a change, on the thread that takes it and before the next.
final class Steps: Sendable {
    private let body = Mutex<(@Sendable (String) -> Void)?>(nil)

    func observe(_ body: (@Sendable (String) -> Void)?) {
        self.body.withLock { $0 = body }
    }

    func reach(_ step: String) {
        let body = body.withLock { $0 }
        body?(step)
    }
}
