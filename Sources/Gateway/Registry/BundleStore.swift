package import Environments
import Glibc
import Synchronization

/// The bundles of all functions, as files named for their SHA-256, and the folders they are unpacked to.
///
/// A bundle is there whole or not at all, and on the disk before anybody is told that it is there. Safe from any thread; every
/// call blocks for as long as the disk takes.
package final class BundleStore: Sendable {
    /// Room for the archive's own headers, beside the content.
    private static let headerBytesPerEntry: UInt64 = 8192

    private let dataFolder: String
    private let limits: BundleLimits
    private let lastNumber = Atomic<UInt64>(0)

    private var bundles: String { dataFolder + "/bundles" }
    private var uploads: String { dataFolder + "/uploads" }
    private var functions: String { dataFolder + "/functions" }

    /// Makes the folders, and removes what a process that died left half uploaded or half unpacked.
    package init(dataFolder: String, limits: BundleLimits = BundleLimits()) throws(BundleStoreError) {
        self.dataFolder = dataFolder
        self.limits = limits
        let folders = (bundles: bundles, uploads: uploads, functions: functions)
        try BundleStoreError.explaining { () throws(FileError) in
            try Folder.remove(folders.uploads)
            for folder in [folders.bundles, folders.uploads, folders.functions] { try Folder.make(folder) }
            try Folder.sync(dataFolder)
        }
    }

    /// Where a bundle lies, once it is there.
    package func path(_ sha256: String) -> String { "\(bundles)/\(sha256).tar" }

    package func contains(_ sha256: String) -> Bool {
        Self.isName(sha256) && Folder.holds(path(sha256))
    }

    /// Begins to take a bundle of this many bytes.
    package func begin(sha256: String, size: UInt64) throws(BundleStoreError) -> BundleWriter {
        guard Self.isName(sha256) else { throw .badName(sha256) }
        let limit = limits.contentBytes + UInt64(limits.entries) * Self.headerBytesPerEntry
        guard size <= limit else { throw .tooLarge(bytes: size, limit: limit) }
        return try BundleWriter(
            temporary: temporaryPath(), final: path(sha256), folder: bundles, sha256: sha256, size: size)
    }

    /// Unpacks a bundle as this version of a function, in place of what is there; the answer is the folder.
    @discardableResult
    package func unpack(_ sha256: String, function: String, version: Int) throws(BundleStoreError) -> String {
        guard contains(sha256) else { throw .unknown(sha256) }
        let place = folder(of: function, version: version)
        let temporary = temporaryPath()
        do {
            try Bundle.unpack(path(sha256), into: temporary, limits: limits)
        } catch { throw BundleStoreError(error) }
        do throws(FileError) {
            try OwnedDescriptor(temporary, flags: O_RDONLY | O_DIRECTORY).syncFileSystem(path: temporary)
            try Folder.make(functions + "/" + function)
            try Folder.remove(place)
            try Folder.rename(temporary, to: place)
            try Folder.sync(functions + "/" + function)
            try Folder.sync(functions)
        } catch {
            // What stays is removed at the next start.
            try? Folder.remove(temporary)
            removeEmptyFolder(of: function)
            throw BundleStoreError(error)
        }
        return place
    }

    /// Where a version of a function is unpacked: the folder its handler runs in.
    package func folder(of function: String, version: Int) -> String { "\(functions)/\(function)/\(version)" }

    /// Removes an old version's folder; nil removes all versions.
    package func removeFolder(of function: String, version: Int?) throws(BundleStoreError) {
        guard Folder.isPlainName(function) else { return }
        let place = version.map { folder(of: function, version: $0) } ?? functions + "/" + function
        try BundleStoreError.explaining { () throws(FileError) in try Folder.remove(place) }
    }

    /// Removes the folder of a function that has no version in it any more.
    package func removeEmptyFolder(of function: String) {
        guard Folder.isPlainName(function) else { return }
        rmdir(functions + "/" + function)
    }

    /// Whether there is something to start a version from: its folder, or the bundle to unpack.
    package func holds(_ sha256: String, function: String, version: Int) -> Bool {
        contains(sha256) || Folder.holds(folder(of: function, version: version))
    }

    /// Removes one bundle.
    package func remove(_ sha256: String) throws(BundleStoreError) {
        guard Self.isName(sha256) else { throw .badName(sha256) }
        let path = path(sha256)
        try BundleStoreError.explaining { () throws(FileError) in try Folder.remove(path) }
    }

    /// What lies in the folders of bundles and functions and is not among these, as paths below the data folder.
    package func unknown(
        besides bundles: Set<String>, versions: [String: Set<Int>]
    ) throws(BundleStoreError) -> [String] {
        let (ours, functions) = (self.bundles, self.functions)
        return try BundleStoreError.explaining { () throws(FileError) in
            var found: [String] = []
            for name in try Folder.names(at: ours)
            where !(name.hasSuffix(".tar") && bundles.contains(String(name.dropLast(4)))) {
                found.append("bundles/" + name)
            }
            for function in try Folder.names(at: functions) {
                guard let known = versions[function] else {
                    found.append("functions/" + function)
                    continue
                }
                for name in try Folder.names(at: functions + "/" + function) {
                    if let version = Int(name), known.contains(version) { continue }
                    found.append("functions/\(function)/\(name)")
                }
            }
            return found
        }
    }

    private func temporaryPath() -> String {
        "\(uploads)/\(lastNumber.add(1, ordering: .relaxed).newValue)"
    }

    static func isName(_ text: String) -> Bool {
        text.utf8.count == 64 && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
}
