/// A function's folder as one file: an uncompressed tar archive. Equal content gives equal bytes.
///
/// Names are sorted. Times and owners are 0. Modes are 755 for folders and programs, and 644 for other files. So the
/// SHA-256 of the archive tells whether two folders have equal content. Packing and unpacking use the same limits and
/// rules for names.
package enum Bundle {
    /// The result of packing a folder.
    package struct Summary: Sendable, Hashable {
        /// The SHA-256 of the archive in lower-case hexadecimal.
        package let sha256: String
        /// The archive's size in bytes.
        package let bytes: UInt64
        /// The number of files, without folders.
        package let files: Int
    }
}

/// The limits of a bundle, for packing and unpacking.
package struct BundleLimits: Sendable, Hashable {
    /// The sum of the files' sizes in bytes.
    package var contentBytes: UInt64
    /// The number of files and folders together.
    package var entries: Int
    /// The length of an entry's path in UTF-8 bytes.
    package var pathBytes: Int
    /// The length of one part of a path, between slashes, in UTF-8 bytes.
    package var componentBytes: Int
    /// The number of parts of a path.
    package var depth: Int

    package init(
        contentBytes: UInt64 = 8 << 30, entries: Int = 100_000, pathBytes: Int = 4096, componentBytes: Int = 255,
        depth: Int = 128
    ) {
        self.contentBytes = contentBytes
        self.entries = entries
        self.pathBytes = pathBytes
        self.componentBytes = componentBytes
        self.depth = depth
    }
}
