package import Platform

/// Why a folder cannot be packed or an archive cannot be unpacked.
package enum BundleError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Something in the folder cannot be part of a bundle. `path` is relative to the folder.
    case cannotPack(path: String, reason: String)
    /// An entry of the archive is not acceptable.
    case refused(entry: String, reason: String)
    /// The archive is damaged at `offset`, in bytes.
    case damaged(offset: UInt64, reason: String)
    /// The content exceeds a limit.
    case tooLarge(String)
    /// `.dcfignore` cannot be read as patterns.
    case ignoreFile(line: Int, reason: String)
    /// `.dockerignore` cannot be read as patterns.
    case dockerIgnoreFile(line: Int, reason: String)
    /// A file operation failed.
    case file(FileError)

    package var isDiskFull: Bool {
        if case .file(let error) = self { return error.isDiskFull }
        return false
    }

    package var description: String {
        switch self {
        case .cannotPack(let path, let reason):
            "\(path.quotedName) cannot be packed: \(reason)"
        case .refused(let entry, let reason):
            "the archive's entry \(entry.quotedName) is refused: \(reason)"
        case .damaged(let offset, let reason):
            "the archive is damaged at byte \(offset): \(reason)"
        case .tooLarge(let what):
            what
        case .ignoreFile(let line, let reason):
            ".dcfignore, line \(line): \(reason)"
        case .dockerIgnoreFile(let line, let reason):
            ".dockerignore, line \(line): \(reason)"
        case .file(let error):
            error.description
        }
    }
}

/// Runs `work` and turns a `FileError` into a `BundleError`.
func bundling<Result: ~Copyable>(_ work: () throws(FileError) -> Result) throws(BundleError) -> Result {
    do throws(FileError) { return try work() } catch { throw .file(error) }
}
