import Glibc
import Platform
import SystemPackage

extension Bundle {
    /// The result of unpacking an archive.
    package struct Content: Sendable, Hashable {
        package let files: Int
        package let bytes: UInt64
    }

    /// Unpacks an untrusted archive into a new or empty folder. On success the whole archive is there. On an error
    /// nothing of it is left. Nothing is ever written outside the folder.
    ///
    /// Does not sync the files to the disk.
    @discardableResult
    package static func unpack(
        _ archive: String, into folder: String, limits: BundleLimits = BundleLimits()
    ) throws(BundleError) -> Content {
        let isNew = !Folder.holds(folder)
        do throws(FileError) {
            try Folder.make(folder)
            guard try Folder.names(at: folder).isEmpty else {
                throw FileError("unpack into", folder, .directoryNotEmpty)
            }
        } catch { throw .file(error) }
        do throws(BundleError) {
            var reader = try TarReader(path: archive)
            var unpacker = try ArchiveUnpacker(folder: folder, limits: limits)
            return try unpacker.unpack(&reader)
        } catch {
            // Files that cannot be removed do no harm: the next attempt refuses the folder because it is not empty.
            for name in (try? Folder.names(at: folder)) ?? [] { try? Folder.remove(folder + "/" + name) }
            if isNew { rmdir(folder) }
            throw error
        }
    }
}

/// Writes an archive's entries below one open folder. Opens each part of a path with `openat`, so that no link is
/// followed.
private struct ArchiveUnpacker: ~Copyable {
    let folder: String
    let limits: BundleLimits
    let top: OwnedDescriptor
    var entries = 0
    var files = 0
    var contentBytes: UInt64 = 0
    /// The inode numbers of the folders that had entries of their own.
    var listedFolders: Set<ino_t> = []
    /// The folder of the last file.
    var current: OwnedDescriptor?
    var currentParts: [String] = []
    var buffer = [UInt8](repeating: 0, count: 256 << 10)

    init(folder: String, limits: BundleLimits) throws(BundleError) {
        self.folder = folder
        self.limits = limits
        do throws(FileError) {
            top = try OwnedDescriptor(folder, flags: O_RDONLY | O_DIRECTORY, following: true)
        } catch { throw .file(error) }
    }

    mutating func unpack(_ reader: inout TarReader) throws(BundleError) -> Bundle.Content {
        while let entry = try reader.next() {
            let parts: [String]
            do throws(BundlePathProblem) {
                parts = try BundlePath.parts(of: entry.path, limits: limits)
            } catch { throw .refused(entry: entry.name, reason: error.reason) }
            if entry.isFolder {
                try makeFolder(parts, entry)
            } else {
                try makeFile(parts, entry, &reader)
            }
        }
        return Bundle.Content(files: files, bytes: contentBytes)
    }

    private mutating func makeFolder(_ parts: [String], _ entry: TarReader.Entry) throws(BundleError) {
        if parts.isEmpty { return }
        try enter(parts, entry)
        guard let current = current.take() else { return }
        let inode: ino_t
        do throws(FileError) {
            inode = try current.status(path: folder).st_ino
        } catch { throw .file(error) }
        self.current = consume current
        guard listedFolders.insert(inode).inserted else {
            throw .refused(entry: entry.name, reason: "it appears twice")
        }
    }

    private mutating func makeFile(
        _ parts: [String], _ entry: TarReader.Entry, _ reader: inout TarReader
    ) throws(BundleError) {
        guard let name = parts.last, entry.path.last != 0x2F else {
            throw .refused(entry: entry.name, reason: "it is a file without a name")
        }
        guard entry.size <= limits.contentBytes - contentBytes else {
            throw .tooLarge("the archive holds more than \(limits.contentBytes) bytes (at \(entry.name.quotedName))")
        }
        try count(entry)
        try enter(Array(parts.dropLast()), entry)
        let parent = current?.rawValue ?? top.rawValue
        let descriptor = openat(
            parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
            mode_t(entry.isExecutable ? 0o755 : 0o644))
        guard descriptor >= 0 else {
            if errno == EEXIST { throw .refused(entry: entry.name, reason: "it appears twice") }
            throw .file(FileError("make", folder + "/" + entry.name, Errno(rawValue: errno)))
        }
        let file = OwnedDescriptor(owning: descriptor)
        fchmod(descriptor, entry.isExecutable ? 0o755 : 0o644)
        files += 1
        contentBytes += entry.size
        while true {
            // Stop if the caller has gone: an archive can have gigabytes.
            if Task.isCancelled { throw .file(FileError("unpack", folder, .canceled)) }
            let count = try reader.content(into: &buffer)
            if count == 0 { break }
            do throws(FileError) {
                try file.write(buffer.span.extracting(0..<count).bytes, path: folder + "/" + entry.name)
            } catch { throw .file(error) }
        }
    }

    /// Opens the folder with these parts as `current`. Makes missing folders.
    private mutating func enter(_ parts: [String], _ entry: TarReader.Entry) throws(BundleError) {
        if current != nil, parts == currentParts { return }
        current = nil
        currentParts = []
        for (index, part) in parts.enumerated() {
            let parent = current?.rawValue ?? top.rawValue
            if mkdirat(parent, part, 0o755) == 0 {
                try count(entry)
            } else if errno != EEXIST {
                throw .file(FileError("make the folder", folder + "/" + entry.name, Errno(rawValue: errno)))
            }
            let descriptor = openat(parent, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard descriptor >= 0 else {
                if errno == ENOTDIR || errno == ELOOP {
                    let file = parts[...index].joined(separator: "/")
                    throw .refused(entry: entry.name, reason: "\(file.quotedName) is a file, not a folder")
                }
                throw .file(FileError("open the folder", folder + "/" + entry.name, Errno(rawValue: errno)))
            }
            current = OwnedDescriptor(owning: descriptor)
        }
        currentParts = parts
    }

    private mutating func count(_ entry: TarReader.Entry) throws(BundleError) {
        entries += 1
        guard entries <= limits.entries else {
            throw .tooLarge(
                "the archive holds more than \(limits.entries) files and folders (at \(entry.name.quotedName))")
        }
    }
}
