/// How large a bundle may be, packing and unpacking alike.
package struct BundleLimits: Sendable, Hashable {
    /// The files' sizes added up, in bytes.
    package var contentBytes: UInt64
    /// Files and folders together.
    package var entries: Int
    /// The path of one entry, in UTF-8 bytes.
    package var pathBytes: Int
    /// One part of such a path between slashes, in UTF-8 bytes.
    package var componentBytes: Int
    /// How many parts a path may have.
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
