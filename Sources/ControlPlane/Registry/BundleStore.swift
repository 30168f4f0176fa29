package import Environments
import Glibc
internal import Platform
import Synchronization

/// The bundles of all functions, as files named by their SHA-256, and the folders into which they are unpacked.
///
/// A bundle is in the store whole or not at all, and it is on the disk before a caller learns that it is in the store.
/// Safe to use from any thread. Every call blocks for as long as the disk takes.
package final class BundleStore: Sendable {
    /// How many bytes of an archive each entry may add to its content: its headers.
    private static let headerBytesPerEntry: UInt64 = 8192

    private let dataFolder: String
    private let limits: BundleLimits
    private let lastNumber = Atomic<UInt64>(0)

    private var bundles: String { dataFolder + "/bundles" }
    private var uploads: String { dataFolder + "/uploads" }
    private var functions: String { dataFolder + "/functions" }

    /// Makes the folders. Removes uploads and unpacked folders that an earlier process left unfinished.
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

    /// The path of a bundle.
    package func path(_ sha256: String) -> String { "\(bundles)/\(sha256).tar" }

    package func contains(_ sha256: String) -> Bool {
        Self.isName(sha256) && Folder.holds(path(sha256))
    }

    /// Begins to receive a bundle of this size, in bytes.
    package func begin(sha256: String, size: UInt64) throws(BundleStoreError) -> BundleWriter {
        guard Self.isName(sha256) else { throw .badName(sha256) }
        let limit = limits.contentBytes + UInt64(limits.entries) * Self.headerBytesPerEntry
        guard size <= limit else { throw .tooLarge(bytes: size, limit: limit) }
        return try BundleWriter(
            temporary: temporaryPath(), final: path(sha256), folder: bundles, sha256: sha256, size: size)
    }

    /// Unpacks a bundle for a version of a function. Replaces the folder of that version.
    ///
    /// - Returns: the path of the folder.
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
            // If this fails, the next start removes the folder.
            try? Folder.remove(temporary)
            removeEmptyFolder(of: function)
            throw BundleStoreError(error)
        }
        return place
    }

    /// The folder of a version of a function. Its handler runs there.
    package func folder(of function: String, version: Int) -> String { "\(functions)/\(function)/\(version)" }

    /// Removes the folder of a version. With nil it removes the folders of all versions.
    package func removeFolder(of function: String, version: Int?) throws(BundleStoreError) {
        guard Folder.isPlainName(function) else { return }
        let place = version.map { folder(of: function, version: $0) } ?? functions + "/" + function
        try BundleStoreError.explaining { () throws(FileError) in try Folder.remove(place) }
    }

    /// Removes the folder of a function, if no version is left in it.
    package func removeEmptyFolder(of function: String) {
        guard Folder.isPlainName(function) else { return }
        rmdir(functions + "/" + function)
    }

    /// Whether a version can be started: its folder exists, or the bundle to unpack.
    package func holds(_ sha256: String, function: String, version: Int) -> Bool {
        contains(sha256) || Folder.holds(folder(of: function, version: version))
    }

    /// Removes one bundle.
    package func remove(_ sha256: String) throws(BundleStoreError) {
        guard Self.isName(sha256) else { throw .badName(sha256) }
        let path = path(sha256)
        try BundleStoreError.explaining { () throws(FileError) in try Folder.remove(path) }
    }

    /// The files in the folders of bundles and functions that are not among these bundles and versions, as paths below
    /// the data folder.
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
