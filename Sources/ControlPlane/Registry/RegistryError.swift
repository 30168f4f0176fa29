internal import GRDB

/// Why the registry cannot be opened, read or written.
package enum RegistryError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The tables were made by a later release of this program.
    case newer(path: String)
    case damaged(path: String, reason: String)
    /// The disk does not return the content of the file. Whether the content is sound is not known.
    case unreadable(path: String, reason: String)
    case diskFull(path: String)
    case failed(path: String, reason: String)

    package var description: String {
        switch self {
        case .newer(let path):
            "the registry \(path) was written by a newer dcf-gateway; start that one, or choose another data folder with --data-dir"
        case .damaged(let path, let reason):
            """
            the registry \(path) is damaged (\(reason)); the functions' bundles are untouched: "dcf-gateway --rebuild", with the \
            same --data-dir, makes a new registry from the files beside it and keeps the damaged one under another name; or move the \
            registry and its -wal and -shm files away, and put a backup in its place
            """
        case .unreadable(let path, let reason):
            """
            the registry \(path) cannot be read: \(reason). This is an error of the disk or its file system, not of the registry: \
            leave the file where it is, look for the cause in the kernel's log (dmesg), and start the gateway again
            """
        case .diskFull(let path):
            "the registry \(path) cannot be written: the disk is full"
        case .failed(let path, let reason):
            "the registry \(path) cannot be used: \(reason)"
        }
    }
}

extension RegistryError {
    /// SQLite's code for a failed read or write, as it stands in the texts of its checks.
    private static let readErrorCode: Int32 = 10

    init(path: String, _ error: DatabaseError) {
        let reason = error.message ?? "\(error)"
        self =
            switch error.resultCode {
            case .SQLITE_CORRUPT, .SQLITE_NOTADB: .damaged(path: path, reason: reason)
            case .SQLITE_FULL: .diskFull(path: path)
            case .SQLITE_IOERR:
                .unreadable(path: path, reason: "\(reason) (SQLite \(error.extendedResultCode.rawValue))")
            default: .failed(path: path, reason: reason)
            }
    }

    /// The error for a check that found something: a page that is wrong, or a page that could not be read.
    package init(path: String, check found: String) {
        self =
            Self.isReadError(found)
            ? .unreadable(path: path, reason: found) : .damaged(path: path, reason: found)
    }

    /// Whether the text of a check says that a page could not be read: "unable to get the page. error code=266".
    static func isReadError(_ found: String) -> Bool {
        if found.contains("disk I/O error") { return true }
        guard let start = found.firstRange(of: "error code=")?.upperBound,
            let code = Int32(found[start...].prefix { $0.isNumber })
        else { return false }
        // The second byte holds details.
        return code & 0xFF == readErrorCode
    }
}
