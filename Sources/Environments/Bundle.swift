/// A function's folder as one file: an uncompressed tar archive, the same bytes for the same content.
///
/// Names are sorted, times are 0, owners are 0, modes are 755 for folders and programs and 644 for the rest, so that its
/// SHA-256 tells whether two folders hold the same. Packing and unpacking keep to one set of limits and names.
package enum Bundle {
    /// What was packed.
    package struct Summary: Sendable, Hashable {
        /// Of the archive, in lower-case hexadecimal.
        package let sha256: String
        /// The archive's size in bytes.
        package let bytes: UInt64
        /// Files in it, folders not counted.
        package let files: Int
    }
}
