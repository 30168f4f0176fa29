package import SystemPackage

/// A call to the file system that failed: what was tried, on which path, and the system's reason.
package struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was tried, as a verb: `open`, `write`.
    package let operation: String
    package let path: String
    package let code: Errno

    package init(_ operation: String, _ path: String, _ code: Errno) {
        self.operation = operation
        self.path = path
        self.code = code
    }

    /// Whether the reason is that no more can be written: the disk, or the user's share of it, is full.
    package var isDiskFull: Bool { code == .noSpace || code == .diskQuotaExceeded }

    package var description: String {
        isDiskFull
            ? "cannot \(operation) \(path.quotedName): the disk is full"
            : "cannot \(operation) \(path.quotedName): \(code)"
    }
}
