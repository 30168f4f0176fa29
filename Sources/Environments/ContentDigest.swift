import Glibc
import Platform
import SystemPackage

/// Digests of files and folders on this machine: of contents, and of the names inside folders. Follows links.
enum ContentDigest {
    private static let pieceBytes = 1 << 20
    /// For a package larger than one piece, only this many bytes of its end are read.
    private static let packageEndBytes = 64 << 10
    /// Deeper folders are errors: such a folder contains itself through links.
    private static let depthMax = 100
    /// Folders that Python and version control write beside the code.
    private static let skipped: Set<String> = ["__pycache__", ".git", ".hg", ".svn"]

    /// Of a file, or of a folder with everything below except caches and histories.
    static func everything(at path: String) throws(FileError) -> String {
        var digest = Digest()
        try add(path, to: &digest, depth: 0)
        return digest.hexadecimal()
    }

    /// Of a place where pip looks for packages: the files in a folder, or a page and the local files that it links to.
    static func links(at path: String) throws(FileError) -> String {
        var digest = Digest()
        guard try look(at: path).isFolder else {
            try add(path, to: &digest, depth: 0)
            for file in try linkedFiles(page: path) {
                digest.addCounted(Array(file.utf8))
                try add(file, to: &digest, depth: 0)
            }
            return digest.hexadecimal()
        }
        for name in try Folder.names(at: path) {
            let inner = path + "/" + name
            // pip ignores a link without a target.
            guard let status = try? look(at: inner), status.isFile else { continue }
            digest.addCounted(Array(name.utf8))
            try addPackage(inner, status, to: &digest)
        }
        return digest.hexadecimal()
    }

    /// Adds a file that pip may install. The end of a package identifies its content: a wheel ends with the checksums
    /// of its files, and the last file lists the digests of all others. A compressed archive ends with a checksum of
    /// the whole. So a folder of large wheels costs a deploy no time.
    private static func addPackage(_ path: String, _ status: stat, to digest: inout Digest) throws(FileError) {
        guard status.st_size > pieceBytes else { return try add(path, to: &digest, depth: 0) }
        let file = try OwnedDescriptor(path, flags: O_RDONLY | O_NONBLOCK, following: true)
        var end = [UInt8](repeating: 0, count: packageEndBytes)
        let count = end.withUnsafeMutableBytes { buffer in
            retrying { pread(file.rawValue, buffer.baseAddress, buffer.count, status.st_size - off_t(packageEndBytes)) }
        }
        guard count >= 0 else { throw FileError("read", path, Errno(rawValue: errno)) }
        digest.addCounted(Array("package of \(status.st_size) bytes".utf8))
        digest.addCounted(Array(end.prefix(count)))
    }

    /// Of the commits that the names in a git repository refer to.
    static func commits(at path: String) throws(FileError) -> String {
        let inner = path + "/.git"
        let place = Folder.holds(inner) ? inner : path
        var digest = Digest()
        for part in ["HEAD", "packed-refs", "refs"] where Folder.holds(place + "/" + part) {
            digest.addCounted(Array(part.utf8))
            try add(place + "/" + part, to: &digest, depth: 0)
        }
        guard Folder.holds(place + "/HEAD") else { throw FileError("open", place + "/HEAD", .noSuchFileOrDirectory) }
        return digest.hexadecimal()
    }

    private static func add(_ path: String, to digest: inout Digest, depth: Int) throws(FileError) {
        guard depth <= depthMax else { throw FileError("read", path, .tooManySymbolicLinkLevels) }
        let status = try look(at: path)
        if status.isFile {
            digest.addCounted(Array((status.st_mode & 0o100 != 0 ? "program" : "file").utf8))
            try addContent(of: path, to: &digest)
        } else if status.isFolder {
            digest.addCounted(Array("folder".utf8))
            for name in try Folder.names(at: path) where !skipped.contains(name) && !name.hasSuffix(".pyc") {
                digest.addCounted(Array(name.utf8))
                let inner = path + "/" + name
                // A link without a target has no content.
                do throws(FileError) { _ = try look(at: inner) } catch {
                    if error.code == .noSuchFileOrDirectory { continue }
                    throw error
                }
                try add(inner, to: &digest, depth: depth + 1)
            }
            digest.addCounted(Array("end".utf8))
        }
    }

    private static func addContent(of path: String, to digest: inout Digest) throws(FileError) {
        let file = try OwnedDescriptor(path, flags: O_RDONLY | O_NONBLOCK, following: true)
        var own = Digest()
        var piece = [UInt8](repeating: 0, count: pieceBytes)
        while true {
            let count = try file.read(into: &piece, path: path)
            if count == 0 { break }
            piece.withUnsafeBytes { own.add(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        }
        digest.addCounted(Array(own.hexadecimal().utf8))
    }

    private static func look(at path: String) throws(FileError) -> stat {
        var status = stat()
        guard stat(path, &status) == 0 else { throw FileError("open", path, Errno(rawValue: errno)) }
        return status
    }

    /// The local files that a page links to.
    private static func linkedFiles(page: String) throws(FileError) -> [String] {
        let text = String(decoding: try WholeFile.read(page, limit: 16 << 20), as: UTF8.self)
        let folder = FilePath(page).removingLastComponent()
        var found: [String] = []
        for part in text.split(separator: "href=", omittingEmptySubsequences: false).dropFirst() {
            guard let quote = part.first, quote == "\"" || quote == "'" else { continue }
            let link = String(part.dropFirst().prefix { $0 != quote })
            let local = FileURL.path(link) ?? (link.contains("://") ? nil : FileURL.path("file:" + link))
            guard let local else { continue }
            let path = folder.pushing(FilePath(local)).lexicallyNormalized().string
            if let status = try? look(at: path), status.isFile { found.append(path) }
        }
        return found
    }
}
