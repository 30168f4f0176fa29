import Glibc
import Platform
import SystemPackage

extension Bundle {
    /// Packs a folder into a new file. Removes the file on an error.
    package static func pack(
        folder: String, toFile path: String, forImage: Bool = false, limits: BundleLimits = BundleLimits()
    ) throws(BundleError) -> Summary {
        do throws(BundleError) {
            let file = try bundling { () throws(FileError) in
                try OwnedDescriptor(path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
            }
            return try pack(folder: folder, forImage: forImage, limits: limits) { piece throws(BundleError) in
                try bundling { () throws(FileError) in try file.write(piece, path: path) }
            }
        } catch {
            unlink(path)
            throw error
        }
    }

    /// Packs a folder and passes the archive to `sink`, in order and in pieces of at most 256 KiB. `sink` may throw to
    /// stop.
    @discardableResult
    package static func pack(
        folder: String, forImage: Bool = false, limits: BundleLimits = BundleLimits(),
        sink: ([UInt8]) throws(BundleError) -> Void
    ) throws(BundleError) -> Summary {
        guard let top = Folder.resolved(folder) else {
            throw .file(FileError("open the folder", folder, Errno(rawValue: errno)))
        }
        return try withoutActuallyEscaping(sink) { sink throws(BundleError) in
            var packer = FolderPacker(top: top, limits: limits, sink: sink)
            if forImage { try packer.readDockerIgnore() }
            return try packer.pack()
        }
    }

    /// A file as a part of an archive. The part goes before the output of `pack`.
    package static func entry(path: String, content: [UInt8]) -> [UInt8] {
        let size = UInt64(content.count)
        return TarWriter.header(path: Array(path.utf8), kind: .file, size: size) + content
            + TarWriter.padding(after: size)
    }
}

/// One walk over a folder. A link to a target inside the folder is packed as a copy of its target. A link to a target
/// outside is an error.
private struct FolderPacker {
    let top: String
    let limits: BundleLimits
    let sink: ([UInt8]) throws(BundleError) -> Void
    var rules = IgnoreRules()
    /// Set only for the build of an image.
    var imageRules: DockerIgnoreRules?
    var digest = Digest()
    var archiveBytes: UInt64 = 0
    var contentBytes: UInt64 = 0
    var entries = 0
    var files = 0
    /// The folders above the current one, current one included. Used to find links that lead back up.
    var above: [FolderIdentity] = []
    var piece = [UInt8]()

    struct FolderIdentity: Hashable {
        let device: dev_t
        let inode: ino_t
    }

    init(top: String, limits: BundleLimits, sink: @escaping ([UInt8]) throws(BundleError) -> Void) {
        self.top = top
        self.limits = limits
        self.sink = sink
    }

    mutating func readDockerIgnore() throws(BundleError) {
        let file = top + "/" + DockerIgnoreRules.fileName
        guard Folder.holds(file) else { return }
        imageRules = try DockerIgnoreRules(
            bundling { () throws(FileError) in try WholeFile.read(file, limit: 1 << 20) })
    }

    mutating func pack() throws(BundleError) -> Bundle.Summary {
        let ignoreFile = top + "/" + IgnoreRules.fileName
        if Folder.holds(ignoreFile) {
            rules = try IgnoreRules(bundling { () throws(FileError) in try WholeFile.read(ignoreFile, limit: 1 << 20) })
        }
        try walk([], at: top)
        try emit(TarWriter.end)
        if !piece.isEmpty { try sink(piece) }
        return Bundle.Summary(sha256: digest.hexadecimal(), bytes: archiveBytes, files: files)
    }

    /// Packs the content of a folder. `place` is the real path of the folder, `path` its path in the bundle.
    private mutating func walk(_ path: [String], at place: String) throws(BundleError) {
        let folder = try bundling { () throws(FileError) in
            try OwnedDescriptor(place, flags: O_RDONLY | O_DIRECTORY, following: true)
        }
        let status = try bundling { () throws(FileError) in try folder.status(path: place) }
        let identity = FolderIdentity(device: status.st_dev, inode: status.st_ino)
        guard !above.contains(identity) else {
            throw .cannotPack(
                path: path.joined(separator: "/"), reason: "this link leads back to a folder that contains it")
        }
        above.append(identity)
        defer { above.removeLast() }
        for name in try bundling({ () throws(FileError) in try Folder.names(of: folder, path: place) }) {
            guard let text = String(validating: name, as: UTF8.self) else {
                let shown = (path + [String(decoding: name, as: UTF8.self)]).joined(separator: "/")
                throw .cannotPack(
                    path: shown, reason: "its name is not UTF-8; rename it, or list it in \(IgnoreRules.fileName)")
            }
            try visit(path + [text], at: place + "/" + text)
        }
    }

    private mutating func visit(_ path: [String], at place: String) throws(BundleError) {
        let shown = path.joined(separator: "/")
        var status = stat()
        guard lstat(place, &status) == 0 else { throw .file(FileError("look at", place, Errno(rawValue: errno))) }
        var place = place
        let wasLink = status.isLink
        if imageRules?.leavesOut(path) == true {
            // A rule with "!" may include something inside the folder. Unpacking that creates the folder.
            if status.isFolder, imageRules?.hasExceptions == true, !rules.leavesOut(path, isFolder: true) {
                try walk(path, at: place)
            }
            return
        }
        if wasLink {
            // A rule that matches the link's own name leaves the link out, whatever its target.
            if rules.leavesOut(path, isFolder: false) || rules.leavesOut(path, isFolder: true) { return }
            place = try target(of: place, shown: shown)
            guard stat(place, &status) == 0 else { throw .file(FileError("look at", place, Errno(rawValue: errno))) }
        } else if rules.leavesOut(path, isFolder: status.isFolder) {
            return
        }
        do throws(BundlePathProblem) {
            _ = try BundlePath.parts(of: Array(shown.utf8), limits: limits)
        } catch { throw .cannotPack(path: shown, reason: error.reason) }
        entries += 1
        guard entries <= limits.entries else {
            throw .tooLarge(
                "the folder holds more than \(limits.entries) files and folders; "
                    + "list files that the function does not need in \(IgnoreRules.fileName)"
            )
        }
        switch status.st_mode & S_IFMT {
        case S_IFDIR:
            try emit(TarWriter.header(path: Array(shown.utf8), kind: .folder))
            try walk(path, at: place)
        case S_IFREG:
            try packFile(shown, at: place)
        case S_IFIFO:
            throw .cannotPack(path: shown, reason: "it is a named pipe")
        case S_IFSOCK:
            throw .cannotPack(path: shown, reason: "it is a socket")
        default:
            throw .cannotPack(path: shown, reason: "it is a device")
        }
    }

    /// The target of a link. Throws if the target is missing, or outside the folder.
    private func target(of link: String, shown: String) throws(BundleError) -> String {
        guard let target = Folder.resolved(link) else {
            let reason = errno == ELOOP ? "this link leads back to itself" : "this link leads nowhere"
            throw .cannotPack(path: shown, reason: reason)
        }
        guard target == top || target.hasPrefix(top == "/" ? top : top + "/") else {
            throw .cannotPack(
                path: shown,
                reason:
                    "this link leads out of the function's folder, to \(target.quotedName); "
                    + "copy the target into the folder"
            )
        }
        return target
    }

    private mutating func packFile(_ shown: String, at place: String) throws(BundleError) {
        let file = try bundling { () throws(FileError) in
            try OwnedDescriptor(place, flags: O_RDONLY | O_NONBLOCK, following: true)
        }
        let status = try bundling { () throws(FileError) in try file.status(path: place) }
        let size = UInt64(max(0, status.st_size))
        guard status.isFile else { throw .cannotPack(path: shown, reason: "it changed while it was packed") }
        guard contentBytes + size <= limits.contentBytes else {
            throw .tooLarge(
                "the folder holds more than \(limits.contentBytes) bytes (at \(shown.quotedName)); "
                    + "list files that the function does not need in \(IgnoreRules.fileName)"
            )
        }
        contentBytes += size
        files += 1
        try emit(
            TarWriter.header(
                path: Array(shown.utf8), kind: .file, size: size, isExecutable: status.st_mode & 0o100 != 0))
        var left = size
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        while true {
            let count = try bundling { () throws(FileError) in
                try file.read(into: &buffer, path: place)
            }
            guard count <= left, count > 0 || left == 0 else {
                throw .cannotPack(path: shown, reason: "it changed while it was packed")
            }
            if count == 0 { break }
            left -= UInt64(count)
            try emit(count == buffer.count ? buffer : Array(buffer[..<count]))
        }
        try emit(TarWriter.padding(after: size))
    }

    private mutating func emit(_ bytes: [UInt8]) throws(BundleError) {
        digest.add(bytes)
        archiveBytes += UInt64(bytes.count)
        if !piece.isEmpty, piece.count + bytes.count > 256 << 10 {
            try sink(piece)
            piece.removeAll(keepingCapacity: true)
        }
        if piece.isEmpty, bytes.count >= 128 << 10 {
            try sink(bytes)
        } else {
            piece += bytes
        }
    }
}
